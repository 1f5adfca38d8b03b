//! Strangers: connections that never become honest miners, made anew whenever Adit closes them.
//!
//! One thread looks at all of them at a modest pace; they are to be a nuisance, not a load test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use super::file::HostilePart;

/// Pause between two looks at all strangers: the most a stranger does is one thing in that time.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// What is sent at a look.
const GARBAGE: &[u8] = b"GET / HTTP/1.1\r\nHost: pool\r\n\r\n\x00\xff{{{{\n[]\n\"\n";
const ENDLESS_PIECE: [u8; 4096] = [b'a'; 4096];
const LOGIN: &[u8] = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n\
    {\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"deaf.rig\",\"x\"]}\n";
const QUESTION: &[u8] = b"{\"id\":3,\"method\":\"mining.ping\",\"params\":[]}\n";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Silent,
    Garbage,
    Endless,
    Deaf,
    Flapping,
}

/// All strangers of a scenario. Dropped, they leave.
#[derive(Debug)]
pub(super) struct Strangers {
    over: Arc<AtomicBool>,
    connects: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Strangers {
    /// Lets them come to this address.
    pub(super) fn start(address: SocketAddr, part: HostilePart) -> io::Result<Self> {
        let kinds = [
            (Kind::Silent, part.silent),
            (Kind::Garbage, part.garbage),
            (Kind::Endless, part.endless),
            (Kind::Deaf, part.deaf),
            (Kind::Flapping, part.flapping),
        ];
        let kinds: Vec<Kind> =
            kinds.iter().flat_map(|&(kind, count)| std::iter::repeat_n(kind, count)).collect();
        let (over, connects) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, count) = (Arc::clone(&over), Arc::clone(&connects));
        let bother = move || {
            let mut strangers: Vec<(Kind, Option<TcpStream>)> =
                kinds.into_iter().map(|kind| (kind, None)).collect();
            while !strangers.is_empty() && !stop.load(Ordering::Relaxed) {
                for (kind, stream) in &mut strangers {
                    // Whatever fails, the next look begins with a new connection.
                    *stream = look(*kind, stream.take(), address, &count).unwrap_or_default();
                }
                std::thread::sleep(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("strangers".into()).spawn(bother)?;
        Ok(Self { over, connects, thread: Some(thread) })
    }

    /// Connections they made so far.
    pub(super) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One look at one stranger: connects, or does the next thing of its kind. The connection it goes on with, if any.
fn look(
    kind: Kind,
    stream: Option<TcpStream>,
    address: SocketAddr,
    connects: &AtomicU64,
) -> io::Result<Option<TcpStream>> {
    let Some(mut stream) = stream else {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        connects.fetch_add(1, Ordering::Relaxed);
        stream.set_nonblocking(true)?;
        if let Kind::Deaf = kind {
            SockRef::from(&stream).set_recv_buffer_size(4096)?;
            stream.write_all(LOGIN)?;
        }
        return Ok(Some(stream));
    };
    match kind {
        Kind::Flapping => {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            return Ok(None);
        }
        Kind::Silent => {}
        Kind::Garbage => write_some(&mut stream, GARBAGE)?,
        Kind::Endless => write_some(&mut stream, &ENDLESS_PIECE)?,
        Kind::Deaf => {
            write_some(&mut stream, QUESTION)?;
            return Ok(Some(stream)); // its ears stay shut: it learns of a close by writing
        }
    }
    match stream.read(&mut [0; 512]) {
        Ok(0) => Ok(None),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(Some(stream)),
    }
}

/// Writes what the kernel takes; a full buffer is no error.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    match stream.write(bytes) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}
