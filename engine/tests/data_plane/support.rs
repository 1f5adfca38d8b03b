//! A pool, miners and an Adit between them, all in this process and over loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adit::settings::{PoolSettings, Settings};
use adit::supervisor::{Running, Supervisor};

/// Longer than anything here takes on a busy machine; reached only by a failure.
pub const LIMIT: Duration = Duration::from_secs(60);

/// An Adit in front of `pool`, on ports of the kernel's choice.
pub fn adit(pool: SocketAddr, change: impl FnOnce(&mut Settings)) -> Running {
    Supervisor::start(settings(pool, change)).expect("Adit starts")
}

pub fn settings(pool: SocketAddr, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::with_pool(PoolSettings::transparent(pool.ip().to_string(), pool.port()));
    settings.listeners = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    settings.shards = Some(1.try_into().unwrap());
    settings.pin = false;
    settings.admin = None;
    // These tests are not about failover: a pool that breaks connections stays in use, and a miner whose pool is lost is
    // let go at once.
    settings.failover.failures_count = u32::MAX;
    settings.failover.grace_ms = 0;
    // Most pools here give no job.
    settings.pools[0].timeouts.first_job_ms = 600_000;
    change(&mut settings);
    settings
}

pub fn address(adit: &Running) -> SocketAddr {
    adit.listen_addrs()[0]
}

/// Stops `adit` and waits for its end.
pub fn stop(adit: Running) {
    adit.stop(Duration::from_millis(500));
    adit.join().expect("shards end in order");
}

/// Waits for a condition that something else brings about.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What a pool does with a connection; it ends with the function.
pub type Script = dyn Fn(Peer) -> io::Result<()> + Send + Sync;

/// Serves every connection by `script` on a thread of its own. Lives as long as the process.
pub fn pool(script: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script: Arc<Script> = Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = script.clone();
            // A script that fails has lost its peer, which tests of broken connections want.
            thread::spawn(move || drop(script(Peer::new(stream))));
        }
    });
    address
}

/// A pool that answers subscribe, authorize and submit, and accepts everything.
pub fn accepting_pool() -> SocketAddr {
    pool(|mut peer| {
        while let Some(line) = peer.line()? {
            peer.answer(&line)?;
        }
        Ok(())
    })
}

/// One end of a connection, line by line.
pub struct Peer {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// A miner that is subscribed and authorised.
    pub fn miner(adit: &Running) -> Self {
        let mut miner = Self::connect(address(adit));
        miner.log_in().unwrap();
        miner
    }

    pub fn log_in(&mut self) -> io::Result<()> {
        self.send(r#"{"id":1,"method":"mining.subscribe","params":["test/1.0"]}"#)?;
        self.send(r#"{"id":2,"method":"mining.authorize","params":["account.rig","x"]}"#)?;
        for _ in 0..2 {
            self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        Ok(())
    }

    pub fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    pub fn submit(&mut self, id: u32) -> io::Result<()> {
        self.send(&format!(
            r#"{{"id":{id},"method":"mining.submit","params":["account.rig","job","00000001","66252f80","{id:08x}"]}}"#
        ))
    }

    /// The next line without its LF, `None` at the end of the stream.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        assert_eq!(line.pop(), Some('\n'), "a line without its end: {line}");
        Ok(Some(line))
    }

    /// Everything up to the end of the stream.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).map(|_| rest)
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Answers a request as a pool that likes everything.
    pub fn answer(&mut self, request: &str) -> io::Result<()> {
        let id = id_of(request);
        if request.contains("mining.subscribe") {
            self.send(&format!(
                r#"{{"id":{id},"result":[[["mining.notify","5f00a1b2"]],"f000000a",8],"error":null}}"#
            ))
        } else {
            self.send(&format!(r#"{{"id":{id},"result":true,"error":null}}"#))
        }
    }
}

/// The id of a line that Adit or a miner here wrote.
pub fn id_of(line: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["id"].as_u64().unwrap_or_else(|| panic!("no id in {line}"))
}

/// A job as pools send it, with `n` in it.
pub fn job(n: usize) -> String {
    format!(
        r#"{{"id":null,"method":"mining.notify","params":["{n:x}","{}","01000000","ffffffff",[],"20000000","17034219","66252f80",false]}}"#,
        "0".repeat(64)
    )
}
