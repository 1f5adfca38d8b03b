//! Pools' names to addresses, off the shards: a look-up may block for many seconds.
//!
//! One thread per name looks it up again and again; shards read the newest answer when they dial, which is rare. A failed
//! look-up keeps the last good answer. An address written as such needs no thread.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam::channel::{self, RecvTimeoutError, Sender};
use parking_lot::{Condvar, Mutex};

/// Addresses kept of one answer.
const ADDRESSES_COUNT_MAX: usize = 16;
/// Until the next try after a failed look-up, unless the usual time is shorter.
const RETRY_MS: u64 = 5_000;

/// A name, looked up anew every so often until this is dropped.
#[derive(Debug)]
pub struct Resolver {
    addresses: PoolAddresses,
    /// Its end tells the thread to stop. The thread is not waited for: it may be inside a look-up.
    _stop: Option<Sender<()>>,
}

/// The addresses of one pool, newest answer. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct PoolAddresses(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    answer: Mutex<Arc<[SocketAddr]>>,
    /// Index of the address to begin with.
    begin_with: AtomicUsize,
    first: Condvar,
}

impl PoolAddresses {
    /// The newest good answer, in the order to try; empty before the first one.
    pub fn newest(&self) -> Arc<[SocketAddr]> {
        self.0.answer.lock().clone()
    }

    /// Index of the one to begin with, which may be beyond the end.
    pub fn first(&self) -> usize {
        self.0.begin_with.load(Ordering::Relaxed)
    }

    /// Whoever connects next begins with this one: it worked, or is the one behind those that did not.
    pub fn begin_with(&self, index: usize) {
        if self.first() != index {
            self.0.begin_with.store(index, Ordering::Relaxed);
        }
    }

    /// Waits for the first answer, `limit` at most. Whether it is there.
    pub fn wait(&self, limit: Duration) -> bool {
        let mut answer = self.0.answer.lock();
        if answer.is_empty() {
            self.0.first.wait_for(&mut answer, limit);
        }
        !answer.is_empty()
    }

    fn publish(&self, addresses: Arc<[SocketAddr]>) {
        *self.0.answer.lock() = addresses;
        self.0.first.notify_all();
    }
}

impl Resolver {
    /// Starts to look up `host`.
    pub fn start(host: &str, port: u16, refresh: Duration) -> io::Result<Self> {
        Self::start_with(host, port, refresh, |host, port| {
            (host, port).to_socket_addrs().map(Iterator::collect)
        })
    }

    /// What it finds.
    pub fn addresses(&self) -> &PoolAddresses {
        &self.addresses
    }

    fn start_with(
        host: &str,
        port: u16,
        refresh: Duration,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Self> {
        let addresses = PoolAddresses::default();
        if let Ok(literal) = host.parse::<IpAddr>() {
            addresses.publish(Arc::new([SocketAddr::new(literal, port)]));
            return Ok(Self { addresses, _stop: None });
        }
        let (stop, stopped) = channel::bounded::<()>(0);
        let (host, published) = (host.to_owned(), addresses.clone());
        std::thread::Builder::new().name("adit-resolver".into()).spawn(move || {
            loop {
                let good = look_up_once(&host, port, &look_up, &published);
                let rest = if good { refresh } else { refresh.min(Duration::from_millis(RETRY_MS)) };
                if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { addresses, _stop: Some(stop) })
    }
}

/// Whether it gave an answer.
fn look_up_once(
    host: &str,
    port: u16,
    look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    published: &PoolAddresses,
) -> bool {
    let found = match look_up(host, port) {
        Ok(found) => found,
        Err(error) => {
            let kept = published.newest().len();
            log::warn!("pool {host}: name look-up failed, {kept} known addresses stay in use: {error}");
            return false;
        }
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_COUNT_MAX {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        log::warn!("pool {host}: the name has no address");
        return false;
    }
    if *published.newest() != addresses[..] {
        log::info!("pool {host}: addresses {addresses:?}");
        published.publish(addresses.into());
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn address(last: u8) -> SocketAddr {
        ([127, 0, 0, last], 3333).into()
    }

    #[test]
    fn an_address_needs_no_look_up() {
        for (host, address) in [("127.0.0.1", "127.0.0.1:3333"), ("::1", "[::1]:3333")] {
            let resolver = Resolver::start_with(host, 3333, LIMIT, |_, _| panic!("looked up")).unwrap();
            assert_eq!(*resolver.addresses().newest(), [address.parse().unwrap()]);
        }
    }

    #[test]
    fn a_real_name_resolves() {
        let resolver = Resolver::start("localhost", 3333, LIMIT).unwrap();
        assert!(resolver.addresses().wait(LIMIT));
        assert!(resolver.addresses().newest().iter().all(|a| a.ip().is_loopback() && a.port() == 3333));
    }

    #[test]
    fn a_failure_keeps_the_last_answer_and_the_next_answer_replaces_it() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let resolver = Resolver::start_with("pool.test", 3333, Duration::from_millis(1), move |_, _| {
            match counted.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(vec![address(1), address(2), address(1)]),
                1..20 => Err(io::ErrorKind::TimedOut.into()),
                20..40 => Ok(vec![]),
                _ => Ok(vec![address(3)]),
            }
        })
        .unwrap();
        assert!(resolver.addresses().wait(LIMIT));
        let start = Instant::now();
        let mut seen = vec![resolver.addresses().newest()];
        while calls.load(Ordering::SeqCst) < 45 && start.elapsed() < LIMIT {
            let newest = resolver.addresses().newest();
            if seen.last() != Some(&newest) {
                seen.push(newest);
            }
            std::thread::yield_now();
        }
        seen.push(resolver.addresses().newest());
        seen.dedup();
        let expected: [Arc<[SocketAddr]>; 2] = [Arc::new([address(1), address(2)]), Arc::new([address(3)])];
        assert_eq!(seen, expected);
    }

    #[test]
    fn dropping_it_ends_the_look_ups() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let resolver = Resolver::start_with("pool.test", 1, Duration::from_millis(1), move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(vec![address(1)])
        })
        .unwrap();
        assert!(resolver.addresses().wait(LIMIT));
        drop(resolver);
        // The closure owns a copy of `calls`; the thread's end drops it.
        let start = Instant::now();
        while Arc::strong_count(&calls) > 1 && start.elapsed() < LIMIT {
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&calls), 1);
    }
}
