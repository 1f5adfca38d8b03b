//! tiny_http behind the front: its Unix socket, the threads that answer, and its replacement when it dies.
//!
//! tiny_http's accept thread ends for good at the first error, such as a lack of descriptors, and panics when it cannot
//! duplicate one. An operator needs the admin side most when the process runs out of something, so whoever notices
//! ([`Backend::suspect`], or a handler that gets an error) puts a new one in its place.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::FlockOperation;
use tiny_http::{Header, Request, Response, Server};

use crate::answer::Answer;
use crate::api::Api;
use crate::front::{SOURCE, STREAM};
use crate::limits::{ANSWER_BYTES_MAX, BODY_BYTES_MAX, HANDLERS_COUNT};
use crate::problem::Problem;

/// Replacements follow each other no faster.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);
/// Longest path of a Unix socket, as the kernel has it.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// What the socket's folders are called, before the number of the process.
const FOLDER_PREFIX: &str = "adit-";
/// The file in it that its owner holds a lock on.
const LOCK: &str = "lock";
/// Tries to find a name for the socket's folder that is not taken.
const FOLDER_TRIES: u32 = 100;

/// The tiny_http server in use.
pub(crate) struct Backend {
    folder: Folder,
    current: Mutex<Current>,
    stopping: AtomicBool,
    replaced: Arc<AtomicU64>,
}

struct Current {
    server: Arc<Server>,
    path: PathBuf,
    since: Instant,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("replaced", &self.replaced).finish_non_exhaustive()
    }
}

impl Backend {
    /// Starts one. tiny_http's threads inherit the priority of the calling thread.
    pub fn start() -> io::Result<Self> {
        let folder = Folder::create()?;
        let path = folder.path.join("0");
        let current = Current { server: listen(&path)?, path, since: Instant::now() };
        Ok(Self {
            folder,
            current: Mutex::new(current),
            stopping: AtomicBool::new(false),
            replaced: Arc::default(),
        })
    }

    /// Where it listens.
    pub fn path(&self) -> PathBuf {
        self.current.lock().path.clone()
    }

    /// Answers requests until it is stopped. Called by [`HANDLERS_COUNT`] threads.
    pub fn serve(&self, api: &Api) {
        while !self.stopping.load(Ordering::Acquire) {
            let server = Arc::clone(&self.current.lock().server);
            match server.recv() {
                Ok(request) => respond(request, api),
                // It was unblocked to stop or because it was replaced, or it is dead.
                Err(_) if !Arc::ptr_eq(&server, &self.current.lock().server) => {}
                Err(error) => self.replace(&error.to_string()),
            }
        }
    }

    /// It did not take or did not answer a request: if it is not new, a new one takes its place.
    pub fn suspect(&self) {
        self.replace("a request was lost");
    }

    /// Ends [`Backend::serve`] in every thread.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        unblock(&self.current.lock().server);
    }

    /// How often it was replaced.
    pub fn replaced(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.replaced)
    }

    fn replace(&self, why: &str) {
        let mut current = self.current.lock();
        if self.stopping.load(Ordering::Acquire) || current.since.elapsed() < REPLACE_PAUSE {
            return;
        }
        current.since = Instant::now();
        let path = self.folder.path.join((self.replaced.load(Ordering::Relaxed) + 1).to_string());
        match listen(&path) {
            Ok(server) => {
                log::warn!("the admin side's HTTP server was replaced: {why}");
                self.replaced.fetch_add(1, Ordering::Relaxed);
                current.path = path;
                let dead = std::mem::replace(&mut current.server, server);
                unblock(&dead);
            }
            Err(error) => log::error!("the admin side's HTTP server cannot be replaced: {error}"),
        }
    }
}

fn listen(path: &Path) -> io::Result<Arc<Server>> {
    let server = Server::from_listener(UnixListener::bind(path)?, None);
    Ok(Arc::new(server.map_err(|error| io::Error::other(error.to_string()))?))
}

fn unblock(server: &Server) {
    (0..HANDLERS_COUNT).for_each(|_| server.unblock());
}

/// Answers one request, whatever happens on the way.
fn respond(mut request: Request, api: &Api) {
    let answer = catch_unwind(AssertUnwindSafe(|| answer(&mut request, api))).unwrap_or_else(|_| {
        log::error!("a panic while answering {} {}", request.method(), request.url());
        Answer::problem(&Problem::new(500, "A mistake in Adit; the log has more."))
    });
    let mut response = Response::from_data(answer.body)
        .with_status_code(answer.status)
        // The front wants the length, not chunks.
        .with_chunked_threshold(ANSWER_BYTES_MAX);
    let stream = answer.stream.map(|plan| (STREAM, plan));
    let headers = answer.headers.into_iter().chain(stream).chain([("Server", "adit".to_owned())]);
    for (name, value) in headers {
        match Header::from_bytes(name, value.as_bytes()) {
            Ok(header) => response.add_header(header),
            Err(()) => log::error!("the header {name} cannot be sent"),
        }
    }
    let result = match answer.upgrade {
        Some(protocol) => {
            drop(request.upgrade(protocol, response));
            Ok(())
        }
        None => request.respond(response),
    };
    if let Err(error) = result {
        log::debug!("an answer was not taken: {error}");
    }
}

fn answer(request: &mut Request, api: &Api) -> Answer {
    let mut body = Vec::new();
    let limit = BODY_BYTES_MAX as u64;
    if let Err(error) = request.as_reader().take(limit).read_to_end(&mut body) {
        return Answer::problem(&Problem::new(400, format!("The body cannot be read: {error}")));
    }
    let headers = request.headers().iter();
    let headers: Vec<_> =
        headers.map(|header| (header.field.as_str().as_str(), header.value.as_str())).collect();
    let source = headers.iter().find(|(name, _)| *name == SOURCE).and_then(|(_, value)| value.parse().ok());
    let Some(source) = source else {
        return Answer::problem(&Problem::new(403, "This socket belongs to Adit's own front."));
    };
    api.answer(&crate::api::Request {
        method: request.method().as_str(),
        target: request.url(),
        headers: &headers,
        source,
        body: &body,
    })
}

/// A folder that only this user may enter, removed in the end: by us, or after a `kill -9` by who comes next. A lock that
/// the kernel takes back tells whether somebody still needs it.
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    fn create() -> io::Result<Self> {
        let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let places = [of("RUNTIME_DIRECTORY"), of("XDG_RUNTIME_DIR"), Some(std::env::temp_dir())];
        let mut last = io::Error::other("no place for the admin side's socket");
        for place in places.into_iter().flatten().chain([PathBuf::from("/dev/shm")]) {
            remove_left_over(&place);
            match Self::create_in(&place) {
                Ok(folder) => return Ok(folder),
                Err(error) => last = io::Error::new(error.kind(), format!("{}: {error}", place.display())),
            }
        }
        Err(last)
    }

    fn create_in(place: &Path) -> io::Result<Self> {
        for n in 0..FOLDER_TRIES {
            let path = place.join(format!("{FOLDER_PREFIX}{}-{n}", std::process::id()));
            if path.as_os_str().len() + "/18446744073709551615".len() > SOCKET_PATH_BYTES_MAX {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = File::create(path.join(LOCK))?;
                    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            log::debug!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Removes folders of ours in `place` that nobody holds any more.
fn remove_left_over(place: &Path) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX)) {
        let path = entry.path();
        // No link is followed, and a folder of somebody else cannot be looked into.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some(lock) = is_folder.then(|| File::open(path.join(LOCK)).ok()).flatten() else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => log::info!("{} was left by a process that was killed: removed", path.display()),
                Err(error) => log::debug!("{} cannot be removed: {error}", path.display()),
            }
        }
    }
}
