//! How a miner's pool is chosen: what the router is told, and what its answers do.

mod rig;

use std::cell::RefCell;
use std::rc::Rc;

use adit_protocol::event::{CloseReason, Event, MoveReason, Wire};
use adit_protocol::pool::{Asks, Placement, PoolId, Router};
use rig::{POOL, Rig};

const SPARE: PoolId = PoolId(2);
const SUBSCRIBE: &str = "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n";

/// What was asked, as path and name.
type Asked = Rc<RefCell<Vec<(Option<String>, Option<String>)>>>;

/// Names that begin with `spare` belong to the spare pool, those that begin with `no` nowhere.
struct ByName {
    asked: Asked,
    has_pool: bool,
}

impl Router for ByName {
    fn choose(&mut self, asks: &Asks<'_>) -> Option<PoolId> {
        let name = asks.name.map(|name| String::from_utf8_lossy(name).into_owned());
        self.asked.borrow_mut().push((asks.path.map(str::to_owned), name));
        self.has_pool.then_some(POOL)
    }

    fn place(&mut self, asks: &Asks<'_>, pool: PoolId) -> Placement {
        match asks.name {
            Some(name) if name.starts_with(b"spare") && pool == POOL => Placement::Move(SPARE),
            Some(name) if name.starts_with(b"no") => Placement::Refuse,
            _ => Placement::Stay,
        }
    }

    fn knows_path(&self, path: &str) -> bool {
        path.starts_with("/order-")
    }
}

fn routed(has_pool: bool) -> (Rig, Asked) {
    let mut rig = Rig::default();
    let asked = Asked::default();
    rig.shared.router = Box::new(ByName { asked: Rc::clone(&asked), has_pool });
    (rig, asked)
}

fn authorize(id: u32, name: &str) -> String {
    format!("{{\"id\":{id},\"method\":\"mining.authorize\",\"params\":[\"{name}\",\"x\"]}}\n")
}

#[test]
fn the_name_counts_for_the_choice_if_it_is_in_the_buffer() {
    for (bytes, name) in [
        (SUBSCRIBE.to_owned(), None),
        (SUBSCRIBE.to_owned() + &authorize(2, "a.b"), Some("a.b")),
        (authorize(2, "a.b"), Some("a.b")),
        (SUBSCRIBE.to_owned() + authorize(2, "a.b").trim_end(), None),
        (SUBSCRIBE.to_owned() + "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[7]}\n", None),
        (SUBSCRIBE.to_owned() + "{\"id\":2,\"method\":\"mining.authorize\",,\n", None),
    ] {
        let (mut rig, asked) = routed(true);
        rig.miner(&bytes);
        assert_eq!(*asked.borrow(), [(None, name.map(str::to_owned))], "{bytes}");
    }
}

#[test]
fn a_miner_that_finds_no_pool_is_sent_away() {
    let (mut rig, _) = routed(false);
    rig.miner(SUBSCRIBE);
    assert_eq!(rig.take_miner(), "{\"id\":1,\"result\":null,\"error\":[20,\"no pool available\",null]}\n");
    assert_eq!(rig.finished(), Some(CloseReason::NoPool));
}

#[test]
fn a_name_of_another_pool_waits_until_the_miner_is_there() {
    let (mut rig, _) = routed(true);
    rig.miner(&format!("{SUBSCRIBE}{{\"id\":2,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}}\n"));
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":[[],\"aaaa\",4]}\n{\"id\":1001,\"result\":true}\n");
    rig.take_miner();
    rig.take_pool();
    rig.miner(&authorize(3, "spare.rig"));
    assert_eq!((rig.take_pool().as_str(), rig.take_miner().as_str()), ("", ""), "not told to the wrong pool");
    assert_eq!(rig.events.last(), Some(&Event::Misplaced { pool: SPARE }));
    rig.prepare(Wire::B, SPARE, MoveReason::Placement);
    rig.connected(Wire::B);
    assert_eq!(rig.take_wire(Wire::B).lines().last(), Some(authorize(1005, "P2.spare.rig").trim_end()));
    rig.on(Wire::B, "{\"id\":1003,\"result\":[[],\"beef\",8]}\n{\"id\":1005,\"result\":true}\n");
    rig.on(Wire::B, "{\"method\":\"mining.set_difficulty\",\"params\":[8]}\n");
    rig.on(Wire::B, "{\"method\":\"mining.notify\",\"params\":[\"k\",\"ab\",\"01\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",true]}\n");
    let heard = rig.take_miner();
    assert!(
        heard.starts_with("{\"id\":3,\"result\":true}\n{\"id\":null,\"method\":\"mining.set_extranonce\""),
        "{heard}"
    );
    assert_eq!(rig.session.pool(), SPARE);
}

#[test]
fn a_name_that_belongs_nowhere_is_refused_here() {
    let (mut rig, _) = routed(true);
    rig.miner(SUBSCRIBE);
    rig.take_pool();
    rig.miner(&authorize(3, "nobody"));
    assert_eq!(rig.take_miner(), "", "in the order of the handshake");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":[[],\"aaaa\",4]}\n");
    assert_eq!(
        rig.take_miner(),
        "{\"id\":1,\"result\":[[],\"aaaa\",4]}\n{\"id\":3,\"result\":null,\"error\":[24,\"Worker belongs to another pool\",null]}\n"
    );
    assert_eq!(rig.take_pool(), "");
}

#[test]
fn a_known_path_gets_its_answer_and_then_speaks_stratum() {
    for head in
        ["GET /order-1 HTTP/1.1\r\nHost: pool:3333\r\nX-{}: {\r\n\r\n", "CONNECT /order-1 HTTP/1.0\n\n"]
    {
        for together in [true, false] {
            let (mut rig, asked) = routed(true);
            if together {
                rig.miner(&format!("{head}{SUBSCRIBE}"));
            } else {
                rig.miner(head);
                rig.miner(SUBSCRIBE);
            }
            assert_eq!(rig.take_miner(), "HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(*asked.borrow(), [(Some("/order-1".to_owned()), None)]);
        }
    }
    for head in
        ["GET / HTTP/1.1\r\n\r\n", "GET /order-1 FTP\r\n", "POST /order-1 HTTP/1.1\r\n", "GET /order-1\r\n"]
    {
        let (mut rig, _) = routed(true);
        rig.miner(head);
        assert!(rig.take_miner().starts_with("HTTP/1.1 400"), "{head}");
        assert_eq!(rig.finished(), Some(CloseReason::HttpOnPlainPort));
    }
}
