//! Whatever HTTP clients do to the admin side, miners mine: every share of theirs is answered meanwhile, and the process
//! takes neither threads nor memory for such clients.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use adit_loadtest::audit::admin_page;
use adit_loadtest::peer::PATIENCE;
use adit_loadtest::process::{Adit, raise_descriptor_limit};
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;

const MINERS_COUNT: usize = 5;
/// Clients that connect and say nothing, or only the beginning of something.
const IDLE_COUNT: usize = 1_000;
/// Descriptors for all else.
const OTHER_DESCRIPTORS: usize = DEAF_COUNT + 300;
/// Shares that all of them find together.
const SHARES_PER_SECOND: f64 = 100.0;
/// Shares that are accepted while they are all there.
const SHARES_COUNT: u64 = 200;
/// Clients that ask for all events, and read none; half of them by WebSocket. More than Adit lets in.
const DEAF_COUNT: usize = 200;
/// What the process may grow by. Every one of the clients could send more than this.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

/// How a deaf listener begins, by WebSocket or by Server-Sent Events.
const DEAF: [&[u8]; 2] = [
    b"GET /events?after=0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"GET /events?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
];

/// A client that said this and stays. Adit may have closed it already for one that came later.
fn client(admin: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(admin).expect("connected");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout set");
    let _ = stream.write_all(said);
    stream
}

#[test]
fn miners_mine_whatever_http_clients_do() {
    let descriptors = raise_descriptor_limit((IDLE_COUNT + OTHER_DESCRIPTORS) as u64) as usize;
    let idle_count = IDLE_COUNT.min(descriptors.saturating_sub(OTHER_DESCRIPTORS));
    if idle_count < IDLE_COUNT {
        println!(
            "SHRUNK: {idle_count} clients instead of {IDLE_COUNT}, for there are {descriptors} descriptors"
        );
    }
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let url = pool.url();
    let arguments = [
        "run",
        "--pool",
        &url,
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--no-pin",
        "--admin",
        "127.0.0.1:0",
    ];
    let adit = Adit::start(Path::new(env!("CARGO_BIN_EXE_adit")), arguments).expect("adit starts");
    let admin = adit.admin_address().expect("operators are answered");
    let pace = Pace::PerSecond(SHARES_PER_SECOND);
    let config = FleetConfig { pace, ..FleetConfig::new(adit.address(), MINERS_COUNT) };
    let fleet = Fleet::start(&config).expect("a fleet");
    assert!(fleet.all_mining_within(PATIENCE), "{}", adit.log_text());
    let threads_before = adit.threads().expect("threads").len();
    let resident_before = adit.usage().expect("usage").resident_kib;

    let part = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
    let mut clients: Vec<_> = (0..idle_count).map(|n| client(admin, &part[..n % part.len()])).collect();
    let pipelined = b"GET /stats/workers HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let oversized = [&b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "[..], &vec![b'a'; 64 * 1024]].concat();
    let smuggled = b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let endless = b"POST /bans HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{";
    let flood = [&b"GET / HTTP/1.1\r\nHost: localhost\r\n"[..], &b"X: y\r\n".repeat(4_096)[..]].concat();
    // All of a large body but its end.
    let head = b"POST /bans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 65536\r\n\r\n";
    let unfinished = [&head[..], &vec![b' '; 65_535]].concat();
    let noise: Vec<u8> = (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    clients.extend((0..DEAF_COUNT).map(|n| client(admin, DEAF[n % DEAF.len()])));
    let says = [&pipelined[..], &oversized, smuggled, endless, &flood, &unfinished, &noise];
    for _ in 0..20 {
        // None of them reads what it is answered.
        clients.extend(says.map(|said| client(admin, said)));
    }
    let accepted_before = fleet.progress().accepted();
    let mined = || fleet.progress().accepted() >= accepted_before + SHARES_COUNT;
    assert!(wait::until(PATIENCE, mined), "{} accepted", fleet.progress().accepted() - accepted_before);

    let threads = adit.threads().expect("threads").len();
    assert!(threads <= threads_before + 2, "{threads} threads, {threads_before} before");
    let grown_kib = adit.usage().expect("usage").resident_kib.saturating_sub(resident_before);
    assert!(grown_kib < GROWTH_KIB_MAX, "{grown_kib} KiB more");
    // Who asks as one should is answered beside them; perhaps not at once, since all places may be taken.
    let is_answered = || admin_page(admin, "/live").is_ok_and(|page| page["status"] == "ok");
    assert!(wait::until(PATIENCE, is_answered), "{}", adit.log_text());
    drop(clients);
    let report = fleet.finish(Duration::from_secs(20));
    assert_eq!((report.missing(), report.rejected().len()), (0, 0));
    assert!(report.accepted() > 0);
}
