//! The one thread that writes the log, so that a full disk or a stuck pipe stalls nobody else.
//!
//! Whoever logs puts a finished line into a bounded queue and goes on. What does not fit is counted, and the count
//! stands in the log as soon as there is room again. Not here: what a line looks like.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam::channel::{Receiver, Sender, bounded};
use log::Level;

use super::format;
use crate::settings::LogFormat;

/// Lines that may wait for the writer.
pub const QUEUE_LINES_MAX: usize = 8_192;
/// Bytes gathered before a write.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// How long a descriptor that takes nothing now (a non-blocking stderr) is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// How often, before the batch is given up.
const RETRIES_MAX: u32 = 100;

/// Where lines go.
pub enum Target {
    /// Opened once: stderr, or what a test hands in.
    Stream(Box<dyn Write + Send>),
    /// A file that is opened again on request.
    File(PathBuf, File),
}

impl Target {
    /// A file that lines are appended to.
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File(path.to_owned(), append(path)?))
    }

    fn stream(&mut self) -> &mut dyn Write {
        match self {
            Self::Stream(stream) => stream,
            Self::File(_, file) => file,
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

enum Message {
    Line(String),
    /// Wakes the writer for what [`Shared`] says.
    Wake,
    /// Answered when everything before it is written.
    Flush(Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    /// Lines that were not written and not yet told.
    dropped_count: AtomicU64,
    reopen: AtomicBool,
}

/// The way in. Clones lead to the same writer.
#[derive(Clone, Debug)]
pub struct Queue {
    sender: Sender<Message>,
    shared: Arc<Shared>,
}

impl Queue {
    /// Starts the writer. It ends when the last clone of the queue is gone.
    pub fn start(target: Target, format: LogFormat, lines_max: usize) -> io::Result<Self> {
        let (sender, receiver) = bounded(lines_max);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            target,
            format,
            receiver,
            shared: Arc::clone(&shared),
            is_mid_line: false,
            failure: None,
        };
        thread::Builder::new().name("adit-log".to_owned()).spawn(move || writer.run())?;
        Ok(Self { sender, shared })
    }

    /// Hands a line over, or counts it. Never waits.
    pub fn push(&self, line: String) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.shared.dropped_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the writer open its file again. Never waits.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // If the queue is full, the writer is busy and looks at the flag behind its batch.
        let _ = self.sender.try_send(Message::Wake);
    }

    /// Waits until everything pushed so far is written, but no longer than `patience`. False if it is not.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, wait) = bounded(1);
        self.sender.send_timeout(Message::Flush(done), patience).is_ok()
            && wait.recv_timeout(patience).is_ok()
    }
}

struct Writer {
    target: Target,
    format: LogFormat,
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
    /// The last write ended inside a line.
    is_mid_line: bool,
    /// Why lines were lost since the last report.
    failure: Option<io::Error>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_BYTES_MAX);
        while let Ok(first) = self.receiver.recv() {
            batch.clear();
            let (mut lines_count, mut flushes) = (0, Vec::new());
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.extend_from_slice(line.as_bytes());
                        batch.push(b'\n');
                        lines_count += 1;
                    }
                    Message::Wake => {}
                    Message::Flush(done) => flushes.push(done),
                }
                next = if batch.len() < BATCH_BYTES_MAX { self.receiver.try_recv().ok() } else { None };
            }
            self.write(&batch, lines_count);
            self.reopen_if_asked();
            self.tell_dropped();
            for done in flushes {
                let _ = done.send(()); // Whoever asked may have lost patience.
            }
        }
    }

    fn reopen_if_asked(&mut self) {
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        let Target::File(path, file) = &mut self.target else { return };
        match append(path) {
            Ok(opened) => {
                *file = opened;
                self.is_mid_line = false;
                self.say(Level::Info, &format_args!("log file reopened"));
            }
            Err(error) => {
                let shown = path.display().to_string();
                self.say(
                    Level::Error,
                    &format_args!("log file {shown} cannot be reopened, the old one stays: {error}"),
                );
            }
        }
    }

    fn tell_dropped(&mut self) {
        let count = self.shared.dropped_count.swap(0, Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let reason = match self.failure.take() {
            Some(error) => error.to_string(),
            None => "they came faster than they could be written".to_owned(),
        };
        if !self.say(Level::Warn, &format_args!("{count} log records are missing here: {reason}")) {
            self.shared.dropped_count.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Writes a line of the writer's own; it does not count as dropped if that fails.
    fn say(&mut self, level: Level, message: &std::fmt::Arguments<'_>) -> bool {
        let mut line = format::line(self.format, SystemTime::now(), level, module_path!(), message);
        line.push('\n');
        self.write(line.as_bytes(), 0)
    }

    fn write(&mut self, bytes: &[u8], lines_count: u64) -> bool {
        let lead: &[u8] = if self.is_mid_line && !bytes.is_empty() { b"\n" } else { b"" };
        let stream = self.target.stream();
        match write_whole(stream, lead).and_then(|()| write_whole(stream, bytes)) {
            Ok(()) => {
                self.is_mid_line &= bytes.is_empty();
                true
            }
            Err(Broken { written, error }) => {
                let last = written.checked_sub(1).and_then(|last| bytes.get(last));
                self.is_mid_line = last.map_or(self.is_mid_line, |&byte| byte != b'\n');
                let whole = bytes.iter().take(written).filter(|&&byte| byte == b'\n').count() as u64;
                self.shared.dropped_count.fetch_add(lines_count.saturating_sub(whole), Ordering::Relaxed);
                self.failure = Some(error);
                false
            }
        }
    }
}

/// A write that ended early.
struct Broken {
    written: usize,
    error: io::Error,
}

fn write_whole(stream: &mut dyn Write, bytes: &[u8]) -> Result<(), Broken> {
    let (mut written, mut retries) = (0, 0);
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return Err(Broken { written, error: ErrorKind::WriteZero.into() }),
            Ok(count) => written = written.saturating_add(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && retries < RETRIES_MAX => {
                retries += 1;
                thread::sleep(RETRY_PAUSE);
            }
            Err(error) => return Err(Broken { written, error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_reader_that_sleeps_stalls_nobody_and_every_lost_line_is_counted() {
        let (target, reader) = UnixStream::pair().expect("socket pair");
        let queue = Queue::start(Target::Stream(Box::new(target)), LogFormat::Text, 16).expect("started");
        let mut pushed = 0_u64;
        let mut push = |count: u64| {
            for _ in 0..count {
                queue.push(format!("line {}", "x".repeat(10_000)));
                pushed += 1;
            }
        };
        // Until the socket's buffer is full and the writer hangs; then more than the queue takes.
        while queue.flush(Duration::from_millis(50)) {
            push(10);
        }
        push(100);

        reader.set_read_timeout(Some(PATIENCE)).expect("timeout set");
        let (mut lines, mut told) = (0, 0);
        for line in BufReader::new(reader).lines() {
            let line = line.expect("a line in time");
            if line.starts_with("line ") {
                lines += 1;
            } else {
                let count = line.split("writer: ").nth(1).and_then(|rest| rest.split(' ').next());
                told += count.and_then(|count| count.parse::<u64>().ok()).expect("a count");
            }
            if lines + told == pushed {
                break;
            }
        }
        assert_eq!(lines + told, pushed);
        assert!(told > 0);
    }

    #[test]
    fn a_moved_file_is_opened_anew_on_request() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (path, moved) = (directory.path().join("a.log"), directory.path().join("a.log.1"));
        let queue = Queue::start(Target::file(&path).expect("opened"), LogFormat::Text, QUEUE_LINES_MAX)
            .expect("started");
        queue.push("before".to_owned());
        assert!(queue.flush(PATIENCE));
        std::fs::rename(&path, &moved).expect("moved");
        queue.push("between".to_owned());
        assert!(queue.flush(PATIENCE));
        queue.reopen();
        assert!(queue.flush(PATIENCE));
        queue.push("after".to_owned());
        assert!(queue.flush(PATIENCE));
        assert_eq!(std::fs::read_to_string(&moved).expect("read"), "before\nbetween\n");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.contains("log file reopened\n") && text.ends_with("after\n"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_leaves_the_old_one() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (path, moved) = (directory.path().join("a/a.log"), directory.path().join("b"));
        std::fs::create_dir(directory.path().join("a")).expect("made");
        let queue = Queue::start(Target::file(&path).expect("opened"), LogFormat::Text, QUEUE_LINES_MAX)
            .expect("started");
        std::fs::rename(directory.path().join("a"), &moved).expect("moved");
        queue.reopen();
        assert!(queue.flush(PATIENCE));
        queue.push("after".to_owned());
        assert!(queue.flush(PATIENCE));
        let text = std::fs::read_to_string(moved.join("a.log")).expect("read");
        assert!(text.contains("cannot be reopened") && text.ends_with("after\n"), "{text}");
    }

    /// Takes `room` bytes, then says that the disk is full until the room is raised.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().expect("no panic under the lock");
            let (held, room) = &mut *disk;
            let count = bytes.len().min(room.saturating_sub(held.len()));
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            held.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_full_disk_lines_are_whole_again_and_the_loss_is_told() {
        let disk = Disk::default();
        disk.0.lock().expect("lock").1 = 10;
        let queue = Queue::start(Target::Stream(Box::new(disk.clone())), LogFormat::Text, QUEUE_LINES_MAX)
            .expect("started");
        for line in ["first", "second", "third"] {
            queue.push(line.to_owned());
            assert!(queue.flush(PATIENCE));
        }
        disk.0.lock().expect("lock").1 = usize::MAX;
        queue.push("fourth".to_owned());
        assert!(queue.flush(PATIENCE));
        let text = String::from_utf8(disk.0.lock().expect("lock").0.clone()).expect("UTF-8");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], ["first", "seco", "fourth"], "{text}");
        assert!(
            lines[3].contains("2 log records are missing here: ") && lines[3].contains("no storage"),
            "{text}"
        );
    }
}
