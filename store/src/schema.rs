//! The schema's versions, and the way from one to the next: forward only, all steps in one transaction, a backup before.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use crate::backup;
use crate::clock::now_us;
use crate::file::{OpenError, beside};

/// The step to each version, from 1. A released one is never changed.
pub const MIGRATIONS: &[&str] = &[include_str!("../schema/v1.sql"), include_str!("../schema/v2.sql")];
/// The newest version known here.
pub const LATEST: u32 = MIGRATIONS.len() as u32;

/// The version of a ledger's schema; 0 if it has none yet.
pub fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a ledger to the newest of `migrations`. If a step fails the ledger is as it was.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::sqlite(path, error);
    let known = migrations.len() as u32;
    let found = version(connection).map_err(sqlite)?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_path_buf(), found, known });
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        backup_before(connection, path, found)?;
        log::info!("changing the schema of {} from {found} to {known}", path.display());
    }
    apply(connection, found, migrations).map_err(sqlite)
}

fn apply(connection: &mut Connection, found: u32, migrations: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for sql in migrations.iter().skip(found as usize) {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    if found == 0 {
        transaction.execute(
            "INSERT INTO meta (id, identity, created_us, created_by) VALUES (1, random(), ?1, ?2)",
            params![now_us() as i64, env!("CARGO_PKG_VERSION")],
        )?;
    }
    transaction.commit()
}

/// Copies the ledger to `FILE.vN.backup`, in place of an older copy of the same version.
fn backup_before(connection: &Connection, path: &Path, version: u32) -> Result<(), OpenError> {
    let to = beside(path, &format!(".v{version}.backup"));
    let failed = |detail: String| OpenError::Backup { path: path.to_path_buf(), detail };
    if to.exists() {
        fs::remove_file(&to).map_err(|error| failed(error.to_string()))?;
    }
    backup::copy(connection, &to, |_| true).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE meta (id INTEGER PRIMARY KEY, identity, created_us, created_by);";
    const SECOND: &str = "CREATE TABLE more (id INTEGER PRIMARY KEY); INSERT INTO more VALUES (7);";
    const BROKEN: &str = "CREATE TABLE half (id INTEGER PRIMARY KEY); INSERT INTO nowhere VALUES (1);";

    fn made(directory: &tempfile::TempDir) -> (Connection, std::path::PathBuf) {
        let path = directory.path().join("ledger");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, &[FIRST]).unwrap();
        (connection, path)
    }

    #[test]
    fn a_migration_goes_forward_and_leaves_a_backup_of_before() {
        let directory = tempfile::tempdir().unwrap();
        let (mut connection, path) = made(&directory);
        assert!(!beside(&path, ".v1.backup").exists(), "nothing to back up when it was made");
        migrate(&mut connection, &path, &[FIRST, SECOND]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        let id: i64 = connection.query_row("SELECT id FROM more", [], |row| row.get(0)).unwrap();
        assert_eq!(id, 7);
        let before = Connection::open(beside(&path, ".v1.backup")).unwrap();
        assert_eq!(version(&before).unwrap(), 1);
        assert!(before.prepare("SELECT * FROM more").is_err());
        let created: i64 = before.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)).unwrap();
        assert_eq!(created, 1);
    }

    #[test]
    fn a_failing_migration_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (mut connection, path) = made(&directory);
        assert!(migrate(&mut connection, &path, &[FIRST, SECOND, BROKEN]).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        for table in ["more", "half"] {
            assert!(connection.prepare(&format!("SELECT * FROM {table}")).is_err(), "{table}");
        }
        migrate(&mut connection, &path, &[FIRST, SECOND]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (mut connection, path) = made(&directory);
        migrate(&mut connection, &path, &[FIRST, SECOND]).unwrap();
        let refused = migrate(&mut connection, &path, &[FIRST]).unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
    }
}
