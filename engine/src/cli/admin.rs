//! The admin server of a running Adit, as `adit run` and `adit demo` start it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use adit_admin::{AdminServer, Options, StartError};
use crossbeam::channel::Sender;

use crate::control::Operators;
use crate::reload::Configured;
use crate::settings::AdminSettings;
use crate::supervisor::Running;

/// Answers operators about `running` and its configuration; `drain` is signalled when an operator wants it to stop.
pub fn start(
    settings: &AdminSettings,
    running: &Running,
    config: Configured,
    drain: Sender<()>,
) -> Result<AdminServer, StartError> {
    let figures = running.figures();
    let AdminSettings { listen, tokens, hosts, origins, workers_in_metrics_max } = settings.clone();
    let options = Options { events: figures.events.clone(), tokens, hosts, origins, workers_in_metrics_max };
    let is_open = options.tokens.is_empty();
    let server =
        AdminServer::start(&listen, Arc::new(Operators::new(figures.clone(), config, drain)), options)?;
    for &address in server.addresses() {
        log::info!("operators are answered on {}", url(address));
        if is_open && !address.ip().to_canonical().is_loopback() {
            log::warn!(
                "without a token only this machine may read on {address}; `adit config token` makes tokens"
            );
        }
    }
    Ok(server)
}

/// What to type into a browser on this machine.
pub fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    format!("http://{address}")
}
