//! Listening sockets: one per address and shard, so that the kernel spreads connections and no shard waits for another.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;

/// Connections that may wait to be accepted, per listener.
const BACKLOG: i32 = 4096;
/// How long an address may stay in use by a process that just died: the kernel ends its rings, and with them their
/// accepts, a little after the process (measured: 10 ms, 50 ms with 2,000 pairs).
const IN_USE_WAIT: Duration = Duration::from_secs(2);
/// Between two tries meanwhile.
const IN_USE_RETRY: Duration = Duration::from_millis(20);
/// First keep-alive probe after this much silence.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Between two probes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Bytes that a peer does not acknowledge for so long mean that it is gone, as silence would: keep-alive does not probe
/// while something is under way, and the kernel itself would try for a quarter of an hour.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(90);
/// The congestion control of both ends of a pair. What a miner and its pool say to each other never fills a window, so
/// nothing is there to control, and the kernel's simplest one costs least (docs/PERFORMANCE.md). It is in every kernel, and
/// every user may choose it.
const CONGESTION_CONTROL: &[u8] = b"reno";
/// Probes without an answer until the connection is given up.
const KEEPALIVE_PROBES: u32 = 3;

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody has it.
    #[error(
        "cannot listen on {0}: the address is in use. Is another Adit running? Each needs an address of its own"
    )]
    InUse(SocketAddr),
    /// Privileged port.
    #[error("cannot listen on {0}: not allowed. Ports below 1024 need the capability CAP_NET_BIND_SERVICE")]
    NotAllowed(SocketAddr),
    /// Not one of this machine's addresses.
    #[error("cannot listen on {0}: this machine has no such address")]
    NoSuchAddress(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// One listener per shard on `address`. With port 0 the kernel chooses a port, the same for all shards.
pub fn listen(address: SocketAddr, shards_count: usize) -> Result<Vec<TcpListener>, ListenError> {
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::PermissionDenied => ListenError::NotAllowed(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress(address),
        _ => ListenError::Other(address, error),
    };
    if address.port() != 0 {
        // With SO_REUSEPORT a second Adit would share the port without a word. Without it, it is refused here.
        drop(bound_when_free(address).map_err(explain)?);
    }
    let first = shared(address).map_err(explain)?;
    let address = first.local_addr().map_err(explain)?;
    let others = (1..shards_count).map(|_| shared(address));
    std::iter::once(Ok(first)).chain(others).collect::<io::Result<_>>().map_err(explain)
}

/// Options that both ends of a pair have: no waiting for more bytes, little to do for each, and probes when it is silent
/// for long.
///
/// On Linux an accepted socket inherits them from its listener.
pub fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    // Where it is refused, the system's own does as well.
    let _ = socket.set_tcp_congestion(CONGESTION_CONTROL);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// Binds without `SO_REUSEPORT`; waits a little where an earlier process still holds the address.
fn bound_when_free(address: SocketAddr) -> io::Result<Socket> {
    let start = Instant::now();
    loop {
        match bound(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < IN_USE_WAIT => {
                std::thread::sleep(IN_USE_RETRY);
            }
            outcome => return outcome,
        }
    }
}

fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    // socket2 sets close-on-exec.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run that the kernel still remembers do not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    tune(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use adit_loadtest::peer::has_ipv6;

    use super::*;

    #[test]
    fn shards_share_a_port_and_a_second_process_is_refused() {
        let families = ["127.0.0.1:0", "[::1]:0"];
        for any in &families[..if has_ipv6() { 2 } else { 1 }] {
            let listeners = listen(any.parse().unwrap(), 3).unwrap();
            let address = listeners[0].local_addr().unwrap();
            assert_ne!(address.port(), 0);
            assert!(listeners.iter().all(|l| l.local_addr().unwrap() == address));
            let error = listen(address, 1).unwrap_err();
            assert!(matches!(error, ListenError::InUse(taken) if taken == address), "{error}");
            assert!(error.to_string().contains("another Adit"), "{error}");
            drop(listeners);
            listen(address, 1).unwrap();
        }
    }

    #[test]
    fn an_address_that_is_let_go_in_time_is_taken() {
        let held = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = held[0].local_addr().unwrap();
        let waiting = std::thread::spawn(move || listen(address, 1));
        std::thread::sleep(IN_USE_RETRY * 3);
        assert!(!waiting.is_finished());
        drop(held);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
        let chosen = socket.tcp_congestion().unwrap();
        assert!(chosen.starts_with(CONGESTION_CONTROL), "{chosen:?}");
    }

    #[test]
    fn both_families_can_have_the_same_port() {
        // The port that the kernel chooses may be in use by an IPv4 connection of somebody else; then another will do.
        let both = |_| {
            let six = listen("[::]:0".parse().unwrap(), 1).unwrap();
            let port = six[0].local_addr().unwrap().port();
            listen(SocketAddr::new([0, 0, 0, 0].into(), port), 1).is_ok()
        };
        assert!((0..200).any(both));
    }
}
