//! A pool sends what nobody can read.

use adit_loadtest::scripted_pool::Habit;

use crate::common::{Bench, NOTIFY};
use crate::support::Scene;

#[test]
fn miners_of_a_pool_that_talks_garbage_work_for_the_standby() {
    let mut scene = Scene::at_main(&[]);
    scene.main.take_habit(Habit::Garbage);
    scene.wait_for_all_at(&scene.standby.tag());
    scene.end().assert_each_moved_once();
}

#[test]
fn a_miner_hears_nothing_of_what_is_no_stratum() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let garbage: [&[u8]; 21] = [
        b"Invalid JSON, disconnecting\n",
        b"\x00\x01\xff noise\n",
        b"\x16\x03\x01\x02\x00\x01\x00\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b"{\"id\":null,\"method\":\n",
        b"{\"id\":1,\"id\":2,\"result\":true}\n",
        b"{\"id\":null,\"result\":true,\"error\":null}\n",
        b"{\"id\":77,\"result\":true,\"error\":null}\n",
        b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[]}\n",
        b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[1,2,3,4,5,6,7,8,9]}\n",
        b"{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[0]}\n",
        b"{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[\"much\"]}\n",
        b"{\"id\":null,\"method\":\"mining.set_extranonce\",\"params\":[\"zz\",65000]}\n",
        b"{\"id\":null,\"method\":\"mining.set_version_mask\",\"params\":[7]}\n",
        b"{\"id\":null,\"method\":\"client.reconnect\",\"params\":[\"evil.example\",1,0]}\n",
        b"{\"id\":null,\"method\":\"Client.Reconnect\",\"params\":[\"evil.example\",1,0]}\n",
        b"{\"id\":null,\"Method\":\"client.reconnect\",\"params\":[]}\n",
        b"\n",
        b"{\"id\":null,\"method\":\"client.show_message\",\"params\":[\"\xff\xfe\"]}\n",
    ];
    for (n, line) in garbage.into_iter().enumerate() {
        pair.pool.send(line).expect("sent");
        if n % 4 == 3 {
            // In one segment with what is good, and behind it: neither takes the other along.
            pair.pool.send(&[NOTIFY.as_bytes(), b"\n", line].concat()).expect("sent");
            pair.miner.expect_line(NOTIFY);
        }
    }
    pair.pool.send_line(NOTIFY).expect("sent");
    pair.miner.expect_line(NOTIFY);
    assert!(pair.submit("4", "a.b").contains("mining.submit"), "it works on");
}
