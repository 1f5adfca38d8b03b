//! What miners did is in the ledger when Adit has stopped.

use adit_protocol::event::Outcome;
use rusqlite::Connection;

use crate::support::*;

#[test]
fn every_share_is_one_row_and_every_session_that_spoke_one_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let adit = adit(
        pool(|mut peer| {
            while let Some(line) = peer.line()? {
                if line.contains("00000007") {
                    peer.send(&format!(
                        r#"{{"id":{},"result":null,"error":[23,"high-hash",null]}}"#,
                        id_of(&line)
                    ))?;
                } else if !line.contains("0000000d") {
                    peer.answer(&line)?;
                }
            }
            Ok(())
        }),
        |settings| {
            settings.ledger = Some(path.clone());
            settings.timeouts.drain_ms = 300;
            settings.shards = Some(2.try_into().unwrap());
        },
    );
    let name = adit.figures().pools.catalogue().pools().next().unwrap().settings.name.clone();
    let mut miners: Vec<_> = (0..20).map(|_| Peer::miner(&adit)).collect();
    for miner in &mut miners {
        for id in [1, 2, 7] {
            miner.submit(id).unwrap();
            miner.line().unwrap().unwrap();
        }
    }
    // One that the pool does not answer, and one that only knocks.
    miners[0].submit(13).unwrap();
    drop(Peer::connect(address(&adit)));
    drop(miners);
    wait_until("all are gone", || adit.connections_open() == 0);
    let counters = adit.counters();
    stop(adit);

    let ledger = Connection::open(path).unwrap();
    let count =
        |query: &str| ledger.query_row(query, (), |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
    for (number, outcome, expected) in
        [(0, Outcome::Accepted, 40), (1, Outcome::Rejected, 20), (3, Outcome::Unanswered, 1)]
    {
        assert_eq!(counters.shares(outcome), expected, "{outcome:?}");
        assert_eq!(
            count(&format!("SELECT count(*) FROM shares WHERE outcome = {number}")),
            expected,
            "{outcome:?}"
        );
    }
    let rejected =
        "SELECT count(*) FROM shares JOIN texts ON texts.id = reason WHERE text = 'high-hash' AND code = 23";
    assert_eq!(count(rejected), 20);
    assert_eq!(count("SELECT count(*) FROM sessions WHERE closed_us >= opened_us"), 20);
    assert_eq!(count("SELECT sum(accepted) FROM sessions"), 40);
    assert_eq!(
        count("SELECT sum(from_miner > 0 AND to_miner > 0 AND from_pool > 0 AND to_pool > 0) FROM sessions"),
        20
    );
    assert_eq!(count("SELECT count(DISTINCT shard) FROM sessions"), 2);
    let worker = "SELECT count(*) FROM shares JOIN workers ON workers.id = worker WHERE name = 'account.rig'";
    assert_eq!(count(worker), 61);
    let at_the_pool =
        format!("SELECT count(*) FROM shares JOIN pools ON pools.id = pool WHERE name = '{name}'");
    assert_eq!(count(&at_the_pool), 61);
}
