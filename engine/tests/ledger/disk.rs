//! Small file systems of their own, to be filled and frozen. Making one takes root; tests that do without say so.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A disk that a test froze and then forgot, because it was killed, thaws by itself after so long.
const FROZEN_SECONDS_MAX: &str = "120";

/// A mounted file system, thawed and unmounted when dropped.
pub struct Disk {
    at: PathBuf,
    /// Thaws it if nobody else does.
    thaws: Option<Child>,
    _directory: TempDir,
}

impl Disk {
    /// In memory, of this size; `None` where that is not allowed.
    pub fn tmpfs(bytes: u64) -> Option<Self> {
        Self::mount(|_| {
            Some(vec!["-t".into(), "tmpfs".into(), "-o".into(), format!("size={bytes}"), "tmpfs".into()])
        })
    }

    /// ext4 in a file, of this size; `None` where that is not allowed.
    pub fn ext4(bytes: u64) -> Option<Self> {
        Self::mount(|directory| {
            let image = directory.join("image");
            File::create(&image).and_then(|file| file.set_len(bytes)).expect("a file");
            let image = image.to_str()?.to_owned();
            run("mkfs.ext4", ["-q", "-F", &image]).then(|| vec!["-o".into(), "loop".into(), image])
        })
    }

    fn mount(arguments: impl FnOnce(&Path) -> Option<Vec<String>>) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().join("disk");
        fs::create_dir(&at).expect("a directory");
        let arguments = arguments(directory.path())?;
        let place = at.to_str()?;
        run("mount", arguments.iter().map(String::as_str).chain([place])).then(|| Self {
            at,
            thaws: None,
            _directory: directory,
        })
    }

    /// A file on it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// Writes a file until there is no room.
    pub fn fill(&self) {
        let mut file = File::create(self.file("ballast")).expect("a file");
        for bytes in [64 * 1024, 4 * 1024] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    /// Takes that file away.
    pub fn free(&self) {
        fs::remove_file(self.file("ballast")).expect("a removal");
    }

    /// From now on whoever writes to it stands still, in the kernel; false where that is not possible.
    pub fn freeze(&mut self) -> bool {
        let wait = format!("sleep {FROZEN_SECONDS_MAX}; exec fsfreeze -u \"$0\"");
        let thaws = Command::new("sh").args(["-c", &wait]).arg(&self.at).stderr(Stdio::null()).spawn();
        self.thaws = Some(thaws.expect("a shell"));
        run("fsfreeze", ["-f", self.at.to_str().expect("UTF-8")])
    }

    /// Lets them go on.
    pub fn thaw(&mut self) {
        if let Some(mut thaws) = self.thaws.take() {
            let thawed = run("fsfreeze", ["-u", self.at.to_str().expect("UTF-8")]);
            // It sleeps; if it has done its work already there is nothing to end.
            let _ = thaws.kill();
            let _ = thaws.wait();
            assert!(thawed || std::thread::panicking(), "it thaws");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        // Lazily: it also goes if a failing test left a file open.
        let unmounted = Command::new("umount").arg("-l").arg(&self.at).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Whether a command is there and succeeds.
pub fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> bool {
    Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
