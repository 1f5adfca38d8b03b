//! The checking process's view of a child: what it said, and the handle to order and kill it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::child;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a child has said so far.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Number of the last row pushed and its time, each time.
    pub pushed: Vec<(u32, u64)>,
    /// Number of the last row that is durable.
    pub durable: u32,
    /// States, in order.
    pub states: Vec<String>,
    /// The longest time that the child was not run, ms.
    pub stalled_ms: u64,
    /// Resident memory, KiB, each time.
    pub memory_kib: Vec<u64>,
    /// Rows pushed in all, said at an end in order.
    pub total: Option<u32>,
    /// Why it did not start.
    pub refused: Option<String>,
}

/// A child at work. Killed when dropped.
pub struct Writer {
    pub process: Child,
    said: Arc<Mutex<Said>>,
    reader: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(ledger: &Path, first: u32, per_second: u32, role: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        // A shell in between, for the signal of a file size limit: ignored, it stays ignored in the child, and the write
        // fails instead. Ignoring it here would take unsafe code.
        let mut process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(program)
            .arg(child::ARGUMENT)
            .arg(ledger)
            .args([&first.to_string(), &per_second.to_string(), role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let said = Arc::new(Mutex::new(Said::default()));
        let (output, heard) = (process.stdout.take().expect("piped"), Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            // A killed child leaves half a line, without its end.
            let mut lines = BufReader::new(output);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
                heard.lock().expect("no panic").hear(line.trim_end());
                line.clear();
            }
        });
        Self { process, said, reader: Some(reader) }
    }

    pub fn said(&self) -> Said {
        self.said.lock().expect("no panic").clone()
    }

    pub fn wait_for(&self, what: &str, condition: impl Fn(&Said) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition(&self.said.lock().expect("no panic")) {
            assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}: {:?}", self.said().states);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn order(&mut self, order: &str) {
        writeln!(self.process.stdin.as_mut().expect("piped"), "{order}").expect("a listening child");
    }

    /// SIGKILL, and everything that it said before.
    pub fn kill(&mut self) -> Said {
        self.process.kill().expect("a kill");
        self.process.wait().expect("an end");
        self.reader.take().expect("once").join().expect("no panic");
        self.said()
    }

    /// Ends its input, so that it stops in order.
    pub fn stop(mut self) -> Said {
        drop(self.process.stdin.take());
        assert!(self.process.wait().expect("an end").success());
        self.reader.take().expect("once").join().expect("no panic");
        self.said()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Already ended in most cases, and then this says so.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Said {
    fn hear(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').expect("a word and more");
        let number = || rest.parse::<u64>().expect("a number");
        match word {
            "pushed" => {
                let (row, time) = rest.split_once(' ').expect("two numbers");
                self.pushed.push((row.parse().expect("a number"), time.parse().expect("a number")));
            }
            "durable" => self.durable = number() as u32,
            "state" => self.states.push(rest.to_owned()),
            "stalled" => self.stalled_ms = self.stalled_ms.max(number()),
            "memory" => self.memory_kib.push(number()),
            "total" => self.total = Some(number() as u32),
            "refused" => self.refused = Some(rest.to_owned()),
            other => panic!("{other}"),
        }
    }
}
