//! Follows the configuration while Adit runs: loads it anew when the file changed or somebody asks, and says what follows.
//!
//! Environment and flags are those of the start, and still beat the file. Not here: who asks, and what is done about it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use super::error::ConfigErrors;
use super::{Sources, as_toml, load};
use crate::pools::reload::Reload;
use crate::settings::Settings;

/// A configuration that may change.
#[derive(Debug)]
pub struct Watch {
    sources: Sources,
    /// What is in force, as it was loaded.
    in_force: Settings,
    /// The file as it was when it was loaded.
    seen: Option<Stamp>,
    /// The file as it was at the last look.
    last: Option<Stamp>,
}

/// A configuration that was loaded anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What follows from it.
    pub reload: Reload,
    /// All of it as text, secrets masked.
    pub toml: String,
}

/// What tells a file that was written from one that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl Watch {
    /// Watches the file of `sources`, from which `loaded` was loaded just now.
    pub fn new(sources: Sources, loaded: Settings) -> Self {
        let seen = sources.file.as_deref().and_then(stamp);
        Self { sources, in_force: loaded, seen, last: seen }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.sources.file.as_deref()
    }

    /// Loads the configuration anew if the file is another one than before and as it was at the last look: one that is being
    /// written is left in peace. A file that is gone changes nothing.
    pub fn look(&mut self) -> Option<Result<Loaded, ConfigErrors>> {
        let now = self.sources.file.as_deref().and_then(stamp);
        let is_settled = now.is_some() && now == self.last;
        self.last = now;
        (is_settled && now != self.seen).then(|| self.reload())
    }

    /// Loads the configuration anew.
    pub fn reload(&mut self) -> Result<Loaded, ConfigErrors> {
        self.seen = self.sources.file.as_deref().and_then(stamp);
        let config = load(self.sources.clone())?;
        Ok(Loaded { reload: Reload::new(&self.in_force, config.settings), toml: as_toml(&config.shown) })
    }

    /// What was loaded is in force: the next is compared with it.
    pub fn applied(&mut self, reload: &Reload) {
        self.in_force = reload.settings.clone();
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok()?, bytes: metadata.len(), inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "[[pools]]\nname = \"a\"\nurl = \"stratum+tcp://a.example:1\"\n";

    /// A watched file that holds one pool.
    fn watched(directory: &tempfile::TempDir) -> Watch {
        let path = directory.path().join("adit.toml");
        fs::write(&path, POOL).expect("written");
        let sources = Sources { file: Some(path), ..Sources::default() };
        let loaded = load(sources.clone()).expect("valid").settings;
        Watch::new(sources, loaded)
    }

    fn write(directory: &tempfile::TempDir, text: &str) {
        fs::write(directory.path().join("adit.toml"), text).expect("written");
    }

    fn told(loaded: Option<Result<Loaded, ConfigErrors>>) -> Vec<String> {
        let loaded = loaded.expect("a change").expect("valid");
        loaded.reload.changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_changed_file_is_loaded_once_it_is_written() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut watch = watched(&directory);
        assert_eq!(watch.look(), None);
        write(&directory, &format!("{POOL}user = \"me\"\n"));
        assert_eq!(watch.look(), None, "it may still be written");
        let loaded = watch.look().expect("a change").expect("valid");
        assert_eq!(watch.look(), None, "it was loaded");
        watch.applied(&loaded.reload);
        assert_eq!(told(Some(Ok(loaded))), ["pool a is another one: user"]);
        assert!(watch.reload().expect("valid").reload.is_empty());
    }

    #[test]
    fn a_broken_file_changes_nothing_and_is_told_once() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut watch = watched(&directory);
        write(&directory, "[[pools]]\nurl = 5\n");
        assert_eq!(watch.look(), None);
        assert!(watch.look().is_some_and(|outcome| outcome.is_err()));
        assert_eq!(watch.look(), None);
        // What was in force is what the next one is compared with.
        write(&directory, &POOL.replace(":1", ":22"));
        assert_eq!(watch.look(), None);
        assert_eq!(told(watch.look()), ["pool a is another one: url"]);
    }

    #[test]
    fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut watch = watched(&directory);
        fs::remove_file(directory.path().join("adit.toml")).expect("removed");
        assert_eq!((watch.look(), watch.look()), (None, None));
        assert!(watch.reload().is_err(), "whoever asks is told");
        write(&directory, &format!("{POOL}password = \"x\"\n"));
        assert_eq!(watch.look(), None);
        assert_eq!(told(watch.look()), ["pool a is another one: password"]);
    }

    #[test]
    fn asking_loads_what_looks_the_same() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut watch = watched(&directory);
        assert!(watch.reload().expect("valid").reload.is_empty());
    }
}
