//! Wake-up calls between threads: an eventfd that a ring watches, and one that a parked task sleeps on.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use glommio::io::BufferedFile;

/// A counter in the kernel that makes a sleeping reader runnable.
#[derive(Debug)]
pub struct EventFd(File);

impl EventFd {
    /// A fresh one, close-on-exec.
    pub fn new() -> io::Result<Self> {
        // Why unsafe: std has no eventfd. Sound: the call takes no pointers, and a result that is not negative is a
        // descriptor nobody else owns.
        let fd = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self(File::from(fd)))
    }

    /// Wakes whoever reads, now or at its next read.
    pub fn signal(&self) {
        // It fails only if the counter would overflow, and then the reader is awake already.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The same eventfd as something a glommio task can sleep on. Call it on the executor's thread.
    pub fn sleeper(&self) -> io::Result<Sleeper> {
        let own = OwnedFd::from(self.0.try_clone()?);
        // Why unsafe: glommio has no safe way to take a descriptor. Sound: `into_raw_fd` gives up our ownership, so
        // glommio's file is its only owner.
        let file = unsafe { BufferedFile::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(own)) };
        Ok(Sleeper(file))
    }
}

/// The reading end of an [`EventFd`] for a glommio task.
#[derive(Debug)]
pub struct Sleeper(BufferedFile);

impl Sleeper {
    /// Sleeps until the eventfd was signalled at least once since the last call.
    pub async fn sleep(&self) -> io::Result<()> {
        self.0.read_at(0, size_of::<u64>()).await.map(drop).map_err(io::Error::from)
    }

    /// Closes it; dropping does the same at some later time.
    pub async fn close(self) {
        if let Err(error) = self.0.close().await {
            log::debug!("closing an eventfd: {error}");
        }
    }
}
