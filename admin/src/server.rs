//! The server: threads, sockets, start and stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use thiserror::Error;
use tiny_http::{Header, Request, Response, Server};

use crate::api;
use crate::control::Control;
use crate::limits::{ADDRESSES_COUNT_MAX, HANDLERS_COUNT};

/// How the server behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {}

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
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct AdminServer {
    addresses: Vec<SocketAddr>,
    running: Arc<Running>,
    threads: Vec<JoinHandle<()>>,
}

struct Running {
    stopping: AtomicBool,
    servers: Vec<Server>,
    control: Arc<dyn Control>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl AdminServer {
    /// Listens on every address (port 0 lets the kernel choose) and answers from `control`.
    pub fn start(
        addresses: &[SocketAddr],
        control: Arc<dyn Control>,
        _options: Options,
    ) -> Result<Self, StartError> {
        if addresses.is_empty() || addresses.len() > ADDRESSES_COUNT_MAX {
            return Err(StartError::Addresses(addresses.len()));
        }
        let servers = addresses.iter().map(|&address| listen(address)).collect::<Result<Vec<_>, _>>()?;
        let addresses = servers.iter().filter_map(|server| server.server_addr().to_ip()).collect();
        let running = Arc::new(Running { stopping: AtomicBool::new(false), servers, control });
        let mut server = Self { addresses, running, threads: Vec::new() };
        for n in 0..server.running.servers.len() {
            for _ in 0..HANDLERS_COUNT {
                let running = Arc::clone(&server.running);
                let thread = Builder::new()
                    .name("adit-admin".to_owned())
                    .spawn(move || serve(&running, n))
                    .map_err(StartError::Thread)?;
                server.threads.push(thread);
            }
        }
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
        self.running.stopping.store(true, Ordering::Release);
        for server in &self.running.servers {
            (0..HANDLERS_COUNT).for_each(|_| server.unblock());
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("an admin thread panicked");
            }
        }
    }
}

fn listen(address: SocketAddr) -> Result<Server, StartError> {
    let listen = |source| StartError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(listen)?;
    Server::from_listener(listener, None).map_err(|error| listen(io::Error::other(error.to_string())))
}

fn serve(running: &Running, n: usize) {
    let Some(server) = running.servers.get(n) else { return };
    while !running.stopping.load(Ordering::Acquire) {
        if let Ok(request) = server.recv() {
            respond(request, &*running.control);
        }
    }
}

fn respond(request: Request, control: &dyn Control) {
    let answer = api::answer(control, request.method().as_str(), request.url());
    let mut response = Response::from_data(answer.body).with_status_code(answer.code);
    if let Ok(header) = Header::from_bytes("Content-Type", answer.content_type) {
        response.add_header(header);
    }
    if let Err(error) = request.respond(response) {
        log::debug!("an admin client left before its answer: {error}");
    }
}
