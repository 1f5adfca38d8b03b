//! What a running process and its children use, from `/proc`: memory, and CPU time thread by thread.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What a process and its children use at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// Resident memory, in KiB.
    pub resident_kib: u64,
    /// CPU time so far, user and system, in nanoseconds by thread name. Threads of one name are added up.
    pub cpu_ns: BTreeMap<String, u64>,
}

impl TreeUsage {
    /// Looks at a process and all below it.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut usage = Self::default();
        for pid in tree_of(pid)? {
            usage.resident_kib += resident_kib(pid)?;
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end between the listing and the reading: it has no more to tell.
                usage.add_thread(&thread?.path()).unwrap_or_default();
            }
        }
        Ok(usage)
    }

    /// CPU time since an earlier look, by thread name.
    pub fn cpu_ns_since(&self, earlier: &Self) -> BTreeMap<String, u64> {
        let since = |(name, now): (&String, &u64)| {
            let before = earlier.cpu_ns.get(name).copied().unwrap_or(0);
            (name.clone(), now.saturating_sub(before))
        };
        self.cpu_ns.iter().map(since).collect()
    }

    fn add_thread(&mut self, task: &Path) -> Option<()> {
        let name = fs::read_to_string(task.join("comm")).ok()?.trim_end().to_owned();
        let nanos = fs::read_to_string(task.join("schedstat")).ok()?;
        *self.cpu_ns.entry(name).or_default() +=
            nanos.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
        Some(())
    }
}

/// A process and all below it.
pub(crate) fn tree_of(pid: u32) -> io::Result<Vec<u32>> {
    let (mut tree, mut next) = (vec![pid], 0);
    while let Some(&pid) = tree.get(next) {
        next += 1;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that has just ended has no children any more.
            let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            tree.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    Ok(tree)
}

/// Resident memory by the page tables: the counter in `status` may lag by some pages for each thread.
fn resident_kib(pid: u32) -> io::Result<u64> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&file)?;
    let field = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    field
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no Rss in {file}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn children_are_counted_with_their_parent() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & read line; kill $!"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let seen = crate::wait::until(Duration::from_secs(20), || {
            TreeUsage::of(shell.id()).is_ok_and(|usage| usage.cpu_ns.contains_key("sleep"))
        });
        let usage = TreeUsage::of(shell.id()).unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(seen, "{usage:?}");
        assert!(usage.resident_kib > 100, "{usage:?}");
    }

    #[test]
    fn work_done_is_seen_in_the_thread_that_did_it() {
        let work = || {
            let before = TreeUsage::of(std::process::id()).unwrap();
            crate::wait::until(Duration::from_secs(20), || {
                std::hint::black_box((0..1_000_000_u64).fold(0, |sum, next| sum ^ next.rotate_left(7)));
                let since = TreeUsage::of(std::process::id()).unwrap().cpu_ns_since(&before);
                since.get("worker-of-this").is_some_and(|&nanos| nanos > 1_000_000)
            })
        };
        let worker = std::thread::Builder::new().name("worker-of-this".into()).spawn(work).unwrap();
        assert!(worker.join().unwrap());
    }
}
