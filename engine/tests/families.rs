//! IPv4 and IPv6, on both sides of Adit at once.

mod common;

use std::net::SocketAddr;

use adit_loadtest::audit::Audit;
use adit_loadtest::peer::{PATIENCE, has_ipv6};
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, FleetReport, Pace};
use adit_loadtest::wait;

use common::binary;

/// Miners mine at every address of this Adit; their books.
#[track_caller]
fn mine_everywhere(adit: &Adit) -> Vec<FleetReport> {
    let fleets: Vec<Fleet> = adit
        .addresses()
        .iter()
        .map(|&address| {
            let config = FleetConfig {
                pace: Pace::InFlight(1),
                submits_max: 50,
                name_prefix: format!("{}.rig", address.is_ipv6()),
                ..FleetConfig::new(address, 5)
            };
            Fleet::start(&config).expect("miners")
        })
        .collect();
    fleets
        .into_iter()
        .map(|fleet| {
            assert!(wait::until(PATIENCE, || fleet.progress().accepted() == 50));
            fleet.finish(PATIENCE)
        })
        .collect()
}

#[test]
fn listeners_of_both_families_serve_a_pool_of_either() {
    if !has_ipv6() {
        return;
    }
    for pool_address in ["[::1]:0", "127.0.0.1:0"] {
        let pool_address: SocketAddr = pool_address.parse().unwrap();
        let pool = ScriptedPool::start_at(pool_address, Script::default()).unwrap();
        let pool_url = pool.url();
        let arguments = [
            "run",
            "--listen",
            "127.0.0.1:0",
            "--listen",
            "[::1]:0",
            "--pool",
            &pool_url,
            "--shards",
            "2",
            "--no-pin",
            "--admin",
            "off",
        ];
        let adit = Adit::start_with(&binary(), arguments, 2).unwrap();
        let families: Vec<bool> = adit.addresses().iter().map(SocketAddr::is_ipv6).collect();
        assert_eq!(families, [false, true]);
        let books = mine_everywhere(&adit);
        let findings = books.iter().fold(Audit::new(), Audit::miners).pool("pool", &pool.stop()).run();
        findings.assert_clean();
        assert_eq!(findings.totals.accepted, 100);
    }
}

#[test]
fn a_pool_named_by_a_host_is_reached_at_the_address_where_it_listens() {
    // Where the name also has an IPv6 address, nobody listens there.
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let adit = common::adit(&format!("stratum+tcp://localhost:{}", pool.address().port()), &[]);
    mine_everywhere(&adit);
    assert_eq!(pool.stop().accepted_submits(), 50);
}
