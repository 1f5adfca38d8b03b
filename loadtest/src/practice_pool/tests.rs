use super::*;
use crate::peer::{Heard, PATIENCE, Peer};
use crate::wait;

fn pool(change: impl FnOnce(&mut PracticePoolConfig)) -> PracticePool {
    let mut config = PracticePoolConfig { transactions_count: 3, ..PracticePoolConfig::default() };
    change(&mut config);
    PracticePool::start(config).unwrap()
}

/// A peer that has its first job.
fn worker(pool: &PracticePool) -> Peer {
    let mut peer = Peer::connect(pool.address()).unwrap();
    peer.send(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").unwrap();
    peer.send(b"{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n").unwrap();
    for expected in ["\"id\":1", "\"id\":2", "mining.set_difficulty", "mining.notify"] {
        let line = peer.line();
        assert!(line.contains(expected), "{line}");
    }
    peer
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let start = |change: fn(&mut PracticePoolConfig)| {
        let mut config = PracticePoolConfig::default();
        change(&mut config);
        PracticePool::start(config).err()
    };
    assert!(matches!(start(|config| config.difficulty = 0.0), Some(PracticePoolError::Difficulty)));
    assert!(matches!(start(|config| config.difficulty_max = f64::NAN), Some(PracticePoolError::Difficulty)));
    assert!(matches!(start(|config| config.difficulty_min = 1e13), Some(PracticePoolError::Difficulty)));
    assert!(matches!(start(|config| config.extranonce2_size = 0), Some(PracticePoolError::Extranonce2Size)));
    assert!(matches!(start(|config| config.extranonce2_size = 17), Some(PracticePoolError::Extranonce2Size)));
    assert!(matches!(
        start(|config| config.job_interval = Duration::ZERO),
        Some(PracticePoolError::JobInterval)
    ));
    let taken = pool(|_| ());
    let config = PracticePoolConfig { listen: taken.address(), ..PracticePoolConfig::default() };
    assert!(
        matches!(PracticePool::start(config), Err(PracticePoolError::Io(address, _)) if address == taken.address())
    );
}

#[test]
fn jobs_come_by_time_and_a_block_after_its_number_of_jobs() {
    let pool = pool(|config| {
        config.job_interval = Duration::from_millis(5);
        config.jobs_per_block = 3;
    });
    let mut peer = worker(&pool);
    let clean: Vec<bool> = (0..7).map(|_| peer.line().ends_with(",true]}")).collect();
    let first = clean.iter().position(|&clean| clean).unwrap();
    assert!(first < 3, "{clean:?}");
    for (n, clean) in clean.into_iter().enumerate().skip(first) {
        assert_eq!(clean, (n - first).is_multiple_of(3), "job {n}");
    }
    let stats = pool.stats();
    assert!(stats.jobs >= 8 && stats.height > 840_002, "{stats:?}");
}

#[test]
fn orders_reach_every_miner() {
    let pool = pool(|_| ());
    let mut peers = [worker(&pool), worker(&pool)];
    pool.new_job();
    pool.set_difficulty(f64::NAN);
    pool.set_difficulty(2.5);
    pool.new_block();
    for peer in &mut peers {
        assert!(peer.line().ends_with(",false]}"));
        assert!(peer.line().contains("mining.set_difficulty\",\"params\":[2.5]"));
        assert!(peer.line().ends_with(",true]}"));
    }
    pool.disconnect_all();
    for peer in &mut peers {
        assert_eq!(peer.hear(PATIENCE), Heard::End(Vec::new()));
    }
    assert!(wait::until(PATIENCE, || pool.stats().connections == 0));
    worker(&pool);
}

#[test]
fn one_connection_of_garbage_harms_no_other() {
    let pool = pool(|_| ());
    let mut peer = worker(&pool);
    let cases: [&[u8]; 5] =
        [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\n", b"[[[[[[\n", b"\0\0\n", b"\xff\xfe\n"];
    for bytes in cases {
        let mut stranger = Peer::connect(pool.address()).unwrap();
        stranger.send(bytes).unwrap();
        stranger.expect_close();
    }
    assert!(wait::until(PATIENCE, || pool.stats().connections_refused == 5));
    peer.send_line(r#"{"id":3,"method":"mining.ping","params":[]}"#).unwrap();
    peer.expect_line(r#"{"id":3,"result":"pong","error":null}"#);
}

#[test]
fn connections_are_bounded_in_number_and_in_patience() {
    let pool = pool(|config| {
        config.connections_max = 1;
        config.subscribe_deadline = Duration::from_millis(50);
    });
    let peer = worker(&pool);
    let mut second = Peer::connect(pool.address()).unwrap();
    second.expect_close();
    drop(peer);
    assert!(wait::until(PATIENCE, || pool.stats().connections == 0));
    let mut silent = Peer::connect(pool.address()).unwrap();
    assert_eq!(silent.hear(PATIENCE), Heard::End(Vec::new()));
    assert_eq!(pool.stats().connections_refused, 2);
}

#[test]
fn a_miner_that_does_not_read_is_closed_at_the_bound() {
    let pool = pool(|_| ());
    let mut deaf = worker(&pool);
    let pings = "{\"id\":\"ping\",\"method\":\"mining.ping\",\"params\":[]}\n".repeat(1_000);
    let closed = (0..10_000).any(|_| deaf.send(pings.as_bytes()).is_err());
    assert!(closed, "10 million answers piled up somewhere");
    assert!(wait::until(PATIENCE, || pool.stats().connections_refused == 1));
    worker(&pool);
}

#[test]
fn a_half_closed_miner_still_gets_its_answers() {
    let pool = pool(|_| ());
    let mut peer = worker(&pool);
    peer.send_line(r#"{"id":3,"method":"mining.ping","params":[]}"#).unwrap();
    peer.close_sending().unwrap();
    peer.expect_line(r#"{"id":3,"result":"pong","error":null}"#);
    assert_eq!(peer.hear(PATIENCE), Heard::End(Vec::new()));
}

#[test]
fn after_the_end_nobody_listens() {
    let pool = pool(|_| ());
    let address = pool.address();
    let mut peer = worker(&pool);
    let log = pool.stop();
    assert_eq!((log.accepted, log.open), (1, 0));
    assert_eq!(log.requests_of("mining.subscribe"), 1);
    assert_eq!(peer.hear(PATIENCE), Heard::End(Vec::new()));
    assert!(Peer::connect(address).is_err());
}
