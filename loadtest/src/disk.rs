//! Small file systems of their own, to be filled and frozen. Making one takes root; who does without says so.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A disk that a test froze and then forgot, because it was killed, thaws by itself after so long.
const FROZEN_SECONDS_MAX: &str = "120";

/// A mounted file system, thawed and unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    /// Thaws it if nobody else does.
    thaws: Option<Child>,
}

impl Disk {
    /// In memory, of this size, mounted somewhere in `directory`; `None` where that is not allowed.
    pub fn tmpfs(directory: &Path, bytes: u64) -> Option<Self> {
        Self::mount(directory, &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
    }

    /// ext4 in a file, the same.
    pub fn ext4(directory: &Path, bytes: u64) -> Option<Self> {
        let image = directory.join("image");
        File::create(&image).and_then(|file| file.set_len(bytes)).ok()?;
        let image = image.to_str()?;
        run("mkfs.ext4", ["-q", "-F", image]).then(|| Self::mount(directory, &["-o", "loop", image]))?
    }

    fn mount(directory: &Path, arguments: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let at = directory.join("disk");
        fs::create_dir_all(&at).ok()?;
        let arguments = arguments.iter().copied().chain([at.to_str()?]);
        run("mount", arguments).then_some(Self { at, thaws: None })
    }

    /// A file on it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// Writes a file until there is no room.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = File::create(self.file("ballast"))?;
        for bytes in [64 * 1024, 4 * 1024] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        Ok(())
    }

    /// Takes that file away.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.file("ballast"))
    }

    /// From now on whoever writes to it stands still, in the kernel; false where that is not possible.
    pub fn freeze(&mut self) -> bool {
        let wait = format!("sleep {FROZEN_SECONDS_MAX}; exec fsfreeze -u \"$0\"");
        let thaws = Command::new("sh").args(["-c", &wait]).arg(&self.at).stderr(Stdio::null()).spawn();
        self.thaws = thaws.ok();
        self.thaws.is_some() && self.at.to_str().is_some_and(|at| run("fsfreeze", ["-f", at]))
    }

    /// Lets them go on; whether it was frozen until now.
    pub fn thaw(&mut self) -> bool {
        let Some(mut thaws) = self.thaws.take() else { return false };
        let thawed = self.at.to_str().is_some_and(|at| run("fsfreeze", ["-u", at]));
        // It sleeps; if it has done its work already there is nothing to end.
        let _ = thaws.kill();
        let _ = thaws.wait();
        thawed
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        // Lazily: it also goes if a failing test left a file open.
        let unmounted = self.at.to_str().is_some_and(|at| run("umount", ["-l", at]));
        if !unmounted {
            log::warn!("{} is still mounted", self.at.display());
        }
    }
}

/// Whether a command is there and succeeds.
pub fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> bool {
    Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
