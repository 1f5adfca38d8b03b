//! Whether this machine lets us use io_uring; and if not, who forbids it.
//!
//! [`judge`] is a pure function over [`Evidence`], so that every kind of refusal can be tested without the machine
//! that has it. Not here: making the rings that are used.

use std::fmt;
use std::io;

use rustix::io::Errno;
use thiserror::Error;

/// Oldest kernel with what the shards' rings need (`DEFER_TASKRUN` came with 6.1).
pub const KERNEL_MIN: KernelVersion = KernelVersion { major: 6, minor: 1 };

/// What a Linux kernel calls itself, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// 6 of 6.1.
    pub major: u32,
    /// 1 of 6.1.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads `6.1.0-18-amd64`.
    pub fn parse(release: &str) -> Option<Self> {
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What can be found out.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The kernel's version, if it could be read.
    pub kernel: Option<KernelVersion>,
    /// `kernel.io_uring_disabled`; kernels before 6.6, and those without io_uring, have no such file.
    pub disabled: Option<u8>,
    /// Whether system calls of this process are filtered (seccomp).
    pub is_filtered: bool,
    /// The error of setting up a small ring; `None` if it worked.
    pub refusal: Option<Errno>,
}

/// Why shards cannot run here. Each says what to change.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IoUringProblem {
    /// No version to be had.
    #[error("the kernel does not say its version; Adit needs Linux {KERNEL_MIN} or later")]
    KernelUnknown,
    /// Before 6.1.
    #[error(
        "this kernel is Linux {0}; Adit needs {KERNEL_MIN} or later, such as that of Debian 12 or Ubuntu 24.04. In a \
         container the host's kernel counts"
    )]
    KernelTooOld(KernelVersion),
    /// `kernel.io_uring_disabled` = 2.
    #[error(
        "io_uring is switched off for all processes: kernel.io_uring_disabled is 2. Set it to 0, on the host if this is a \
         container: sysctl -w kernel.io_uring_disabled=0, and in /etc/sysctl.d/60-adit.conf to keep it so"
    )]
    DisabledForAll,
    /// `kernel.io_uring_disabled` = 1.
    #[error(
        "io_uring is switched off for this user: kernel.io_uring_disabled is 1. Either put the user into the group whose \
         number is in kernel.io_uring_group, or set it to 0, on the host if this is a container: \
         sysctl -w kernel.io_uring_disabled=0, and in /etc/sysctl.d/60-adit.conf to keep it so"
    )]
    DisabledForUser,
    /// A container's profile.
    #[error(
        "a seccomp filter blocks io_uring ({0}), as container runtimes do by default. Run with a profile that allows \
         io_uring_setup, io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE.json), or with \
         none (--security-opt seccomp=unconfined). Under systemd, look at SystemCallFilter="
    )]
    Filtered(Errno),
    /// Compiled without.
    #[error("this kernel was built without io_uring (CONFIG_IO_URING); install one that has it")]
    NotBuilt,
    /// SELinux, AppArmor and the like.
    #[error(
        "a security module (SELinux, AppArmor) or a missing right blocks io_uring ({0}); look at the kernel's log"
    )]
    Forbidden(Errno),
    /// Memory or descriptors.
    #[error(
        "no memory or descriptor for an io_uring ({0}); raise LimitMEMLOCK=, LimitNOFILE= and the memory limit"
    )]
    NoResources(Errno),
    /// Anything else.
    #[error("io_uring cannot be set up: {0}")]
    Unknown(Errno),
}

/// Says who forbids it, from what was found.
pub fn judge(evidence: Evidence) -> Result<(), IoUringProblem> {
    let kernel = evidence.kernel.ok_or(IoUringProblem::KernelUnknown)?;
    if kernel < KERNEL_MIN {
        return Err(IoUringProblem::KernelTooOld(kernel));
    }
    let Some(refusal) = evidence.refusal else { return Ok(()) };
    Err(match (refusal, evidence.disabled) {
        (Errno::PERM, Some(2)) => IoUringProblem::DisabledForAll,
        (Errno::PERM, Some(1)) => IoUringProblem::DisabledForUser,
        (Errno::PERM | Errno::NOSYS, _) if evidence.is_filtered => IoUringProblem::Filtered(refusal),
        // Where the switch exists, the kernel has io_uring, so its absence is made up by somebody.
        (Errno::NOSYS, Some(_)) => IoUringProblem::Filtered(refusal),
        (Errno::NOSYS, None) => IoUringProblem::NotBuilt,
        (Errno::PERM | Errno::ACCESS, _) => IoUringProblem::Forbidden(refusal),
        (Errno::NOMEM | Errno::MFILE | Errno::NFILE, _) => IoUringProblem::NoResources(refusal),
        _ => IoUringProblem::Unknown(refusal),
    })
}

/// Looks at this machine. Sets up a small ring as the shards do, and takes it down again.
pub fn evidence() -> Evidence {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    Evidence {
        kernel: KernelVersion::parse(&release),
        disabled: disabled.ok().and_then(|text| text.trim().parse().ok()),
        is_filtered: seccomp.is_some_and(|mode| mode != "0"),
        refusal: probe().err().map(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn probe() -> io::Result<()> {
    let mut builder = ::io_uring::IoUring::<::io_uring::squeue::Entry>::builder();
    builder.setup_single_issuer().setup_defer_taskrun().build(2).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Option<KernelVersion> = Some(KernelVersion { major: 6, minor: 12 });

    #[test]
    fn kernel_releases_of_distributions_are_read() {
        for (release, version) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("6.10.3", Some((6, 10))),
            ("5.14.0-427.el9.x86_64", Some((5, 14))),
            ("6.8-rc1", Some((6, 8))),
            ("4.4.0", Some((4, 4))),
            ("", None),
            ("linux", None),
            ("6", None),
            ("99999999999.1", None),
        ] {
            let version = version.map(|(major, minor)| KernelVersion { major, minor });
            assert_eq!(KernelVersion::parse(release), version, "{release}");
        }
    }

    #[test]
    fn each_way_to_forbid_io_uring_is_told_from_the_others() {
        let old = KernelVersion { major: 6, minor: 0 };
        let edge = Some(KERNEL_MIN);
        let (perm, nosys) = (Some(Errno::PERM), Some(Errno::NOSYS));
        for (kernel, disabled, is_filtered, refusal, expected) in [
            (NEW, Some(0), false, None, Ok(())),
            (edge, None, true, None, Ok(())),
            // The switch stands at 1, but we are in the group.
            (NEW, Some(1), false, None, Ok(())),
            (None, None, false, None, Err(IoUringProblem::KernelUnknown)),
            (Some(old), None, false, None, Err(IoUringProblem::KernelTooOld(old))),
            (Some(old), None, true, perm, Err(IoUringProblem::KernelTooOld(old))),
            (NEW, Some(2), false, perm, Err(IoUringProblem::DisabledForAll)),
            (NEW, Some(2), true, perm, Err(IoUringProblem::DisabledForAll)),
            (NEW, Some(1), false, perm, Err(IoUringProblem::DisabledForUser)),
            (NEW, Some(0), true, perm, Err(IoUringProblem::Filtered(Errno::PERM))),
            (edge, None, true, perm, Err(IoUringProblem::Filtered(Errno::PERM))),
            (NEW, Some(0), true, nosys, Err(IoUringProblem::Filtered(Errno::NOSYS))),
            (NEW, Some(0), false, nosys, Err(IoUringProblem::Filtered(Errno::NOSYS))),
            (edge, None, false, nosys, Err(IoUringProblem::NotBuilt)),
            (NEW, Some(0), false, perm, Err(IoUringProblem::Forbidden(Errno::PERM))),
            (NEW, Some(0), false, Some(Errno::ACCESS), Err(IoUringProblem::Forbidden(Errno::ACCESS))),
            (NEW, Some(0), false, Some(Errno::NOMEM), Err(IoUringProblem::NoResources(Errno::NOMEM))),
            (NEW, Some(0), false, Some(Errno::MFILE), Err(IoUringProblem::NoResources(Errno::MFILE))),
            (NEW, Some(0), false, Some(Errno::INVAL), Err(IoUringProblem::Unknown(Errno::INVAL))),
        ] {
            let evidence = Evidence { kernel, disabled, is_filtered, refusal };
            assert_eq!(judge(evidence), expected, "{evidence:?}");
        }
    }

    #[test]
    fn every_problem_says_what_to_change() {
        for (problem, advice) in [
            (IoUringProblem::KernelTooOld(KernelVersion { major: 5, minor: 15 }), "needs 6.1 or later"),
            (IoUringProblem::DisabledForAll, "sysctl -w kernel.io_uring_disabled=0"),
            (IoUringProblem::DisabledForUser, "kernel.io_uring_group"),
            (IoUringProblem::Filtered(Errno::PERM), "--security-opt seccomp="),
            (IoUringProblem::NotBuilt, "CONFIG_IO_URING"),
        ] {
            assert!(problem.to_string().contains(advice), "{problem}");
        }
    }
}
