//! The ledger's file: finding out whether it is one and may be written, the lock beside it, and making a new one.
//!
//! Nothing here changes a file that is not a sound ledger of this program's schema or an older one. A second writer is
//! refused by an advisory lock on `FILE.lock`, which the kernel releases when the process ends, however it ends.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::limits::{BUSY_TIMEOUT_MS, CHECKED_WHOLE_BYTES_MAX, LOG_BYTES_KEPT, WRITER_CACHE_KIB};
use crate::schema;
use crate::sink::{SinkError, Trouble};

/// `PRAGMA application_id` of a ledger: "ADIT".
pub const APPLICATION_ID: u32 = 0x4144_4954;
/// How every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where its header has the application id, big-endian.
const APPLICATION_ID_AT: usize = 68;
const HEADER_BYTES: usize = 100;

/// Why a ledger cannot be opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory is not there.
    #[error("the directory of {} does not exist", .0.display())]
    DirectoryMissing(PathBuf),
    /// There is no such file (for readers; a writer makes one).
    #[error("there is no ledger {}", .0.display())]
    Missing(PathBuf),
    /// A directory, a device, a pipe.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file, its directory or its file system does not allow writing.
    #[error("the ledger {} is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// Another process writes to it.
    #[error("the ledger {} is in use by another process{}", .path.display(), .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The ledger.
        path: PathBuf,
        /// The process that said so in the lock file.
        pid: Option<u32>,
    },
    /// Some other file.
    #[error("{} is not a ledger", .0.display())]
    NotALedger(PathBuf),
    /// Made by a newer program.
    #[error("the ledger {} has schema {found}, this program knows schemas up to {known}: use a newer program", .path.display())]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// Damaged.
    #[error("the ledger {} is damaged: {detail}", .path.display())]
    Corrupt {
        /// The ledger.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The copy made before a migration failed.
    #[error("no backup of {} could be made before changing its schema: {detail}", .path.display())]
    Backup {
        /// The ledger.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Any other trouble with files.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other trouble with the database.
    #[error("the ledger {}: {source}", .path.display())]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Sorts an error of SQLite.
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(path),
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, detail: source.to_string() },
            Some(ErrorCode::NotADatabase) => Self::NotALedger(path),
            _ => Self::Sqlite { path, source },
        }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            _ => Self::Io { path, source },
        }
    }
}

/// The right to write to a ledger, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a ledger, or says who has it.
    pub fn take(ledger: &Path) -> Result<Self, OpenError> {
        let path = beside(ledger, ".lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(
                |error| match error.kind() {
                    // A file that may be made is missing only where its directory is.
                    io::ErrorKind::NotFound => OpenError::DirectoryMissing(ledger.to_path_buf()),
                    _ => OpenError::io(&path, error),
                },
            )?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: a pid that cannot be read is left out of it.
                let pid = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                return Err(OpenError::InUse { path: ledger.to_path_buf(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::io(&path, error)),
        }
        let said = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = said {
            log::debug!("{}: the pid could not be written: {error}", path.display());
        }
        Ok(Self { file, path })
    }

    /// Whether the locked file is still the one that others would try to lock.
    pub fn is_current(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(held), Ok(found)) => identity(&held) == identity(&found),
            _ => false,
        }
    }
}

/// Which file something is, whatever its name.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// `FILE` + `suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A file that was opened, to notice when its name means another one or none: SQLite would go on writing to a file that
/// nobody can find any more.
#[derive(Clone, Debug)]
pub struct Watched {
    path: PathBuf,
    identity: (u64, u64),
}

impl Watched {
    /// Remembers which file it is now.
    pub fn new(path: &Path) -> Result<Self, OpenError> {
        let found = fs::metadata(path).map_err(|error| OpenError::io(path, error))?;
        Ok(Self { path: path.to_path_buf(), identity: identity(&found) })
    }

    /// Whether it is still there, the same, and may be written.
    pub fn check(&self) -> Result<(), SinkError> {
        let path = self.path.display();
        let error = |trouble, message| Err(SinkError { trouble, message });
        match fs::metadata(&self.path) {
            Err(source) => error(Trouble::Gone, format!("the ledger {path} is gone: {source}")),
            Ok(found) if identity(&found) != self.identity => {
                error(Trouble::Gone, format!("the ledger {path} was replaced by another file"))
            }
            Ok(found) if found.permissions().readonly() => {
                error(Trouble::ReadOnly, format!("the ledger {path} was made read-only"))
            }
            Ok(_) => Ok(()),
        }
    }
}

/// The one spelling of a path that all processes agree on, so that they also agree on the lock.
pub fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::io(path, error)),
        Err(_) => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| OpenError::NotAFile(path.to_path_buf()))?;
    match fs::canonicalize(directory) {
        Ok(directory) => Ok(directory.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(OpenError::DirectoryMissing(path.to_path_buf()))
        }
        Err(error) => Err(OpenError::io(directory, error)),
    }
}

/// Opens a ledger for writing, made or migrated if need be. The caller holds its [`Lock`].
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(OpenError::io(path, error)),
        // SQLite makes an empty file when it is asked to open one and nothing else: nobody's data.
        Ok(found) if found.is_file() && found.len() == 0 && !found.permissions().readonly() => create(path)?,
        Ok(found) => {
            check_header(path, &found)?;
            if found.permissions().readonly() {
                return Err(OpenError::ReadOnly(path.to_path_buf()));
            }
            // Without this SQLite would quietly open it for reading.
            OpenOptions::new().write(true).open(path).map_err(|error| OpenError::io(path, error))?;
            check_content(path)?;
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags)
        .and_then(|connection| configure_writer(&connection).map(|()| connection));
    let mut connection = opened.map_err(|error| OpenError::sqlite(path, error))?;
    schema::migrate(&mut connection, path, schema::MIGRATIONS)?;
    Ok(connection)
}

/// Opens a ledger for reading only, while others may write to it.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let path = &resolve(path)?;
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(path.clone()));
        }
        Err(error) => return Err(OpenError::io(path, error)),
        Ok(found) => check_header(path, &found)?,
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        let version = schema::version(&connection)?;
        Ok((connection, version))
    });
    let (connection, version) = opened.map_err(|error| OpenError::sqlite(path, error))?;
    if version > schema::LATEST {
        return Err(OpenError::Newer { path: path.clone(), found: version, known: schema::LATEST });
    }
    Ok(connection)
}

/// Makes a ledger under another name first, so that a file of this name is always a whole one.
fn create(path: &Path) -> Result<(), OpenError> {
    let new = beside(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::io(&new, error)),
        _ => {}
    }
    let mut connection = Connection::open(&new).map_err(|error| creation_failed(path, error))?;
    connection
        .execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID};"
        ))
        .map_err(|error| creation_failed(path, error))?;
    schema::migrate(&mut connection, path, schema::MIGRATIONS)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL;")
        .and_then(|()| connection.close().map_err(|(_, error)| error))
        .map_err(|error| creation_failed(path, error))?;
    fs::rename(&new, path).map_err(|error| OpenError::io(path, error))
}

/// SQLite says "unable to open" of a directory that does not let it.
fn creation_failed(path: &Path, error: rusqlite::Error) -> OpenError {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (error.sqlite_error_code(), fs::metadata(directory)) {
        (_, Err(_)) => OpenError::DirectoryMissing(path.to_path_buf()),
        (Some(ErrorCode::CannotOpen), Ok(_)) => OpenError::ReadOnly(path.to_path_buf()),
        _ => OpenError::sqlite(path, error),
    }
}

/// Tells a ledger from other files by their first bytes, without opening a database.
fn check_header(path: &Path, found: &Metadata) -> Result<(), OpenError> {
    if !found.is_file() {
        return Err(OpenError::NotAFile(path.to_path_buf()));
    }
    let mut header = [0; HEADER_BYTES];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(OpenError::NotALedger(path.to_path_buf()));
        }
        Err(error) => return Err(OpenError::io(path, error)),
        Ok(()) => {}
    }
    let is_ours = header.starts_with(MAGIC)
        && header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4) == Some(&APPLICATION_ID.to_be_bytes());
    if is_ours { Ok(()) } else { Err(OpenError::NotALedger(path.to_path_buf())) }
}

/// Looks into a ledger with a connection that cannot write: its schema, its first and last rows, and all of it if small.
fn check_content(path: &Path) -> Result<(), OpenError> {
    let connection = open_reader(path)?;
    let corrupt = |detail: String| OpenError::Corrupt { path: path.to_path_buf(), detail };
    let sqlite = |error| OpenError::sqlite(path, error);
    let known = schema::version(&connection).map_err(sqlite)?;
    if known == 0 {
        return Err(corrupt("it has no schema".into()));
    }
    let ends =
        "SELECT (SELECT count(*) FROM meta), (SELECT min(id) FROM shares), (SELECT max(id) FROM shares)";
    let meta_rows: i64 = connection.query_row(ends, [], |row| row.get(0)).map_err(|error| {
        match OpenError::sqlite(path, error) {
            OpenError::Sqlite { source, .. } => corrupt(source.to_string()),
            other => other,
        }
    })?;
    if meta_rows != 1 {
        return Err(corrupt("it does not say what it is (table meta)".into()));
    }
    if fs::metadata(path).is_ok_and(|found| found.len() <= CHECKED_WHOLE_BYTES_MAX) {
        let said: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
        if said != "ok" {
            return Err(corrupt(said));
        }
    }
    Ok(())
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {LOG_BYTES_KEPT};
         PRAGMA foreign_keys = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{WRITER_CACHE_KIB};"
    ))
}
