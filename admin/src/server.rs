//! The server: its threads, start and stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use thiserror::Error;

use crate::access::{Access, Token};
use crate::api::Api;
use crate::backend::Backend;
use crate::control::Control;
use crate::events::Events;
use crate::front::{Front, Stop};
use crate::limits::{ADDRESSES_COUNT_MAX, HANDLERS_COUNT};
use crate::streams::{Hub, Streams};

/// How far below the shards the threads of this crate stand: whatever operators do, miners come first.
const NICENESS: i32 = 10;

/// How the server behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the engine publishes what happens.
    pub events: Events,
    /// Who may read and command. Without any, this machine reads and nobody commands.
    pub tokens: Vec<Token>,
    /// Names by which this machine is called in URLs, beside addresses and `localhost`; without port.
    pub hosts: Vec<String>,
    /// Origins whose pages may use the API, as `https://name:port`.
    pub origins: Vec<String>,
    /// Workers that have metrics of their own; 0 is none. The others are summed up.
    pub workers_in_metrics_max: usize,
}

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No address, or too many.
    #[error("1 to {ADDRESSES_COUNT_MAX} addresses can be listened on, not {0}")]
    Addresses(usize),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// Anything else that the kernel refuses.
    #[error("cannot {what}: {source}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct AdminServer {
    addresses: Vec<SocketAddr>,
    stop: Stop,
    streams: Streams,
    backend: Arc<Backend>,
    front: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl AdminServer {
    /// Listens on every address (port 0 lets the kernel choose) and answers from `control`.
    pub fn start(
        addresses: &[SocketAddr],
        control: Arc<dyn Control>,
        options: Options,
    ) -> Result<Self, StartError> {
        if addresses.is_empty() || addresses.len() > ADDRESSES_COUNT_MAX {
            return Err(StartError::Addresses(addresses.len()));
        }
        let refused = |what| move |source| StartError::Refused { what, source };
        let listeners = addresses.iter().map(|&address| listen(address)).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let backend = Arc::new(start_backend().map_err(refused("start the HTTP server"))?);
        let (hub, streams) = Hub::new(&options.events).map_err(refused("prepare event streams"))?;
        let Options { events, tokens, hosts, origins, workers_in_metrics_max } = options;
        let lower = |texts: Vec<String>| texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        let access = Access { tokens, hosts: lower(hosts), origins: lower(origins) };
        let (front, stop) = Front::new(listeners, Arc::clone(&backend), streams.clone())
            .map_err(refused("prepare the HTTP front"))?;
        let replacements = backend.replaced();
        let api = Api::new(control, access, streams.clone(), events, workers_in_metrics_max, replacements);
        let api = Arc::new(api);
        let mut server = Self { addresses, stop, streams, backend, front: None, others: Vec::new() };
        let start = refused("start a thread");
        server.others.push(spawn("adit-admin-events", move || hub.run()).map_err(start)?);
        for _ in 0..HANDLERS_COUNT {
            let (backend, api) = (Arc::clone(&server.backend), Arc::clone(&api));
            server.others.push(spawn("adit-admin", move || backend.serve(&api)).map_err(start)?);
        }
        server.front = Some(spawn("adit-admin-front", move || front.run()).map_err(start)?);
        Ok(server)
    }

    /// Where it listens, ports as the kernel chose them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops listening and waits until the answers under way are given.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // The front first: it waits for answers that the others still have to give.
        self.stop.stop();
        self.front.take().into_iter().for_each(join);
        self.streams.stop();
        self.backend.stop();
        self.others.drain(..).for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        log::error!("an admin thread panicked");
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| StartError::Listen { address, source })
}

/// tiny_http's own threads get the priority of the thread that starts it.
fn start_backend() -> io::Result<Backend> {
    let starter = Builder::new().name("adit-admin-start".to_owned()).spawn(|| {
        yield_to_shards();
        Backend::start()
    })?;
    starter.join().unwrap_or_else(|_| Err(io::Error::other("a panic while starting")))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(|| {
        yield_to_shards();
        run();
    })
}

/// Lowers the priority of the calling thread.
fn yield_to_shards() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        log::debug!("the priority of an admin thread stays as it is: {error}");
    }
}
