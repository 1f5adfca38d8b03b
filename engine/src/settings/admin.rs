//! How operators are answered.

use std::net::SocketAddr;

use adit_admin::Token;

use super::ADMIN_LISTEN_DEFAULT;

/// Where, to whom, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where operators are answered; at least one, each once, none where miners are awaited.
    pub listen: Vec<SocketAddr>,
    /// Who may read and command; names and hashes each once. Without any, this machine reads and nobody commands.
    pub tokens: Vec<Token>,
    /// Names by which this machine is called in URLs, beside addresses and `localhost`; lower case, without port.
    pub hosts: Vec<String>,
    /// Origins whose pages may use the API, as `https://name:port`; lower case.
    pub origins: Vec<String>,
    /// Workers that have metrics of their own; 0 is none. The others are summed up.
    pub workers_in_metrics_max: usize,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: vec![ADMIN_LISTEN_DEFAULT],
            tokens: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            workers_in_metrics_max: 0,
        }
    }
}
