//! A control without an engine: it says what a test puts into it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_admin::view::{
    Ban, ConfigText, DrillReport, HealthFacts, PoolsHealth, Series, Snapshot, Span, Subject, SystemHealth,
    Workers,
};
use adit_admin::{AdminServer, AuditRecord, Caller, Command, Control, Done, Options, Refusal};

/// What a [`FakeControl`] says.
#[derive(Default)]
pub struct Said {
    pub health: HealthFacts,
    pub snapshot: Snapshot,
    pub workers: Workers,
    pub audited: Vec<AuditRecord>,
}

/// A control that says what was put into it.
#[derive(Default)]
pub struct FakeControl(pub Mutex<Said>);

impl FakeControl {
    /// One that is well: two shards, one pool.
    pub fn well() -> Arc<Self> {
        let health = HealthFacts {
            pools: PoolsHealth { usable: 1, enabled: 1, unusable: Vec::new() },
            database: None,
            system: SystemHealth { accepting: true, shards_alive: 2, shards: 2, ..SystemHealth::default() },
        };
        Arc::new(Self(Mutex::new(Said { health, ..Said::default() })))
    }

    pub fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Control for FakeControl {
    fn health(&self) -> HealthFacts {
        self.0.lock().unwrap().health.clone()
    }
    fn snapshot(&self, _within: Duration) -> Snapshot {
        self.0.lock().unwrap().snapshot.clone()
    }
    fn workers(&self, _within: Duration) -> Workers {
        self.0.lock().unwrap().workers.clone()
    }
    fn series(&self, subjects: &[Subject], _span: Span, _within: Duration) -> Vec<Option<Series>> {
        vec![None; subjects.len()]
    }
    fn config(&self) -> ConfigText {
        ConfigText::default()
    }
    fn bans(&self) -> Vec<Ban> {
        Vec::new()
    }
    fn drill(&self) -> Option<DrillReport> {
        None
    }
    fn command(&self, command: &Command, _by: &Caller) -> Result<Done, Refusal> {
        Ok(Done { summary: format!("{command:?}"), affected: 1, details: Vec::new() })
    }
    fn audit(&self, record: &AuditRecord) {
        self.0.lock().unwrap().audited.push(record.clone());
    }
}

/// A server on a loopback port of the kernel's choice.
pub fn serve(control: Arc<FakeControl>) -> AdminServer {
    AdminServer::start(&[SocketAddr::from(([127, 0, 0, 1], 0))], control, Options::default()).unwrap()
}

/// Sends `request` as it is and reads until the server closes.
pub fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// The status code and the body of a GET.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer =
        exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}
