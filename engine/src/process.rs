//! What the kernel says about this process, read from `/proc/self`.

use std::fs;
use std::path::Path;

/// Resident memory, CPU time, descriptors, threads. Zero where the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Resident memory.
    pub memory_bytes: u64,
    /// User and system time of all threads, seconds.
    pub cpu_seconds: f64,
    /// Descriptors open.
    pub descriptors: u64,
    /// The soft limit on them; `u64::MAX` is none.
    pub descriptors_max: u64,
    /// Threads.
    pub threads: u64,
}

impl ProcessFigures {
    /// The figures of now.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let schedstat = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Self {
            memory_bytes: status_field(&status, "VmRSS:") * 1024,
            cpu_seconds: schedstat.tv_sec as f64 + schedstat.tv_nsec as f64 / 1e9,
            descriptors: fs::read_dir("/proc/self/fd")
                .map_or(0, |entries| entries.count().saturating_sub(1) as u64),
            descriptors_max: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .unwrap_or(u64::MAX),
            threads: status_field(&status, "Threads:"),
        }
    }
}

/// The least bound on memory that a control group sets for this process, if any does.
pub fn memory_bytes_max() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let root = Path::new("/sys/fs/cgroup");
    let folder = root.join(own.trim_start_matches('/'));
    let bound = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok();
    folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(bound).min()
}

/// The number behind a label of `/proc/self/status`.
fn status_field(status: &str, label: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let figures = ProcessFigures::read();
        assert!(figures.memory_bytes > 1024 * 1024, "{figures:?}");
        assert!(figures.descriptors >= 3 && figures.descriptors <= figures.descriptors_max, "{figures:?}");
        assert!(figures.threads >= 1 && figures.cpu_seconds > 0.0, "{figures:?}");
    }

    #[test]
    fn a_missing_label_is_zero() {
        assert_eq!(status_field("VmRSS:\t 12 kB\nThreads:\t3\n", "VmRSS:"), 12);
        assert_eq!(status_field("VmRSS:\t 12 kB\n", "Threads:"), 0);
    }
}
