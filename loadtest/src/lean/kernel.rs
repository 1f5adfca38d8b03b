//! What the kernel counts while a process runs: system calls, context switches, interrupts sent to other cores. By `perf`,
//! where that works.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::usage::tree_of;

/// What is counted: perf's name, and ours.
const EVENTS: [(&str, &str); 3] =
    [("raw_syscalls:sys_enter", "syscalls"), ("context-switches", "switches"), ("ipi:ipi_send_cpu", "IPIs")];

/// A count that goes on.
#[derive(Debug)]
pub(super) struct KernelCount(Child);

impl KernelCount {
    /// Counts for so long from now on.
    pub(super) fn start(pid: u32, time: Duration) -> io::Result<Self> {
        let pids: Vec<String> = tree_of(pid)?.iter().map(u32::to_string).collect();
        let events = EVENTS.map(|(event, _)| event).join(",");
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", &events, "-p", &pids.join(","), "--", "sleep"]);
        command.arg(time.as_secs_f64().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map(Self)
    }

    /// What was counted, once the time is over; `None` where perf may not, or knows no such events.
    pub(super) fn counts(mut self) -> io::Result<Option<BTreeMap<String, u64>>> {
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        self.0.wait()?;
        Ok(counts_of(&said))
    }
}

/// The counts in what perf said; `None` unless all are there.
fn counts_of(said: &str) -> Option<BTreeMap<String, u64>> {
    let count = |(event, name): (&str, &str)| {
        let line = said.lines().find(|line| line.split(',').nth(2) == Some(event))?;
        Some((name.to_owned(), line.split(',').next()?.parse().ok()?))
    };
    EVENTS.into_iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_out_of_what_perf_says_or_there_are_none() {
        let said = "libtraceevent: No such file\n1200,,raw_syscalls:sys_enter,0,100.00,,\n\
                    30,,context-switches,0,100.00,,\n4,,ipi:ipi_send_cpu,0,100.00,,\n";
        let counts = counts_of(said).unwrap();
        assert_eq!(
            counts.into_iter().collect::<Vec<_>>(),
            [("IPIs".into(), 4), ("switches".into(), 30), ("syscalls".into(), 1200)]
        );
        assert_eq!(counts_of("<not counted>,,context-switches,0,100.00,,"), None);
        assert_eq!(counts_of("event syntax error"), None);
    }
}
