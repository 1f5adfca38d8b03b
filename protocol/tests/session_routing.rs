//! How a miner's pool is chosen: what the router is told, and what its answers do.

mod rig;

use std::cell::RefCell;
use std::rc::Rc;

use adit_protocol::event::{CloseReason, Event, LoginFailure, MoveReason, Wire};
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
            Some(name) if name.starts_with(b"main") && pool == SPARE => Placement::Move(POOL),
            Some(name) if name.starts_with(b"nobody") => Placement::Refuse,
            Some(name) if name.starts_with(b"nowhere") => Placement::Nowhere,
            Some(name) if name.starts_with(b"back") && !asks.can_follow => Placement::Close,
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
    assert_eq!(rig.events.last(), Some(&Event::Misplaced { pool: SPARE, left: None }));
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
fn a_miner_that_got_nothing_from_its_pool_yet_is_placed_without_being_told() {
    let (mut rig, _) = routed(true);
    rig.miner(SUBSCRIBE);
    rig.connected(Wire::A);
    assert!(rig.take_pool().contains("mining.subscribe"));
    rig.miner(&authorize(2, "spare.rig"));
    assert_eq!(rig.events.last(), Some(&Event::Misplaced { pool: SPARE, left: Some(Wire::A) }));
    assert!(!rig.session.has_pool());
    // It repeats itself, and names another one of the same pool; another pool's name is no name of this connection.
    rig.miner(&(authorize(3, "spare.rig") + &authorize(4, "spare.two") + &authorize(5, "main.rig")));
    rig.prepare(Wire::A, SPARE, MoveReason::Placement);
    rig.connected(Wire::A);
    let asked = rig.take_pool();
    assert_eq!(asked.matches("mining.authorize").count(), 2, "{asked}");
    assert!(asked.contains("\"P2.spare.rig\"") && asked.contains("\"P2.spare.two\""), "{asked}");
    for line in asked.lines() {
        let id: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let result = if line.contains("subscribe") { "[[],\"beef\",8]" } else { "true" };
        rig.pool(&format!("{{\"id\":{},\"result\":{result}}}\n", id["id"]));
    }
    rig.pool("{\"method\":\"mining.set_difficulty\",\"params\":[8]}\n");
    rig.pool("{\"method\":\"mining.notify\",\"params\":[\"k\",\"ab\",\"01\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",true]}\n");
    let heard = rig.take_miner();
    let wanted = "{\"id\":1,\"result\":[[],\"beef\",8]}\n{\"id\":2,\"result\":true}\n{\"id\":3,\"result\":true}\n\
                  {\"id\":4,\"result\":true}\n{\"id\":5,\"result\":null,\"error\":[24,";
    assert!(heard.starts_with(wanted), "{heard}");
    assert!(heard.contains("mining.notify") && !heard.contains("set_extranonce"), "{heard}");
    assert_eq!(rig.session.pool(), SPARE);
}

/// A session whose subscribe is answered.
fn subscribed() -> Rig {
    let (mut rig, _) = routed(true);
    rig.miner(SUBSCRIBE);
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":[[],\"aaaa\",4]}\n");
    rig.take_miner();
    rig.take_pool();
    rig
}

#[test]
fn a_miner_that_cannot_follow_is_sent_back_and_one_whose_pools_are_gone_sent_away() {
    for (name, error, reason) in [
        ("back.rig", "20,\"Worker belongs to another pool, connect again\"", CloseReason::Misplaced),
        ("nowhere.rig", "20,\"no pool available\"", CloseReason::NoPool),
    ] {
        let mut rig = subscribed();
        rig.miner(&authorize(3, name));
        assert_eq!(rig.take_miner(), format!("{{\"id\":3,\"result\":null,\"error\":[{error},null]}}\n"));
        assert_eq!((rig.finished(), rig.take_pool().as_str()), (Some(reason), ""));
    }
}

#[test]
fn what_is_being_prepared_for_a_miner_of_unknown_name_is_given_up_when_the_name_belongs_elsewhere() {
    let mut rig = subscribed();
    rig.prepare(Wire::B, POOL, MoveReason::Operator);
    rig.connected(Wire::B);
    rig.take_wire(Wire::B);
    rig.events.clear();
    rig.miner(&authorize(3, "spare.rig"));
    assert_eq!(rig.take_wire(Wire::B), "");
    let failed = Event::LoginFailed {
        wire: Wire::B,
        pool: POOL,
        reason: MoveReason::Operator,
        why: LoginFailure::Misplaced,
    };
    assert_eq!(rig.events, [failed, Event::Misplaced { pool: SPARE, left: None }]);
    let mut begun = true;
    rig.call(|session, cx| begun = session.prepare(Wire::B, POOL, MoveReason::Operator, cx));
    assert!(!begun, "the name waits for other pools");
    rig.prepare(Wire::B, SPARE, MoveReason::Placement);
}

#[test]
fn the_router_is_told_what_the_miner_calls_itself() {
    let subscribe = "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"bitaxe/1\"]}\n";
    let configure = "{\"id\":0,\"method\":\"mining.configure\",\"params\":[[],{}]}\n";
    for (bytes, agent) in [
        (subscribe.to_owned(), Some("bitaxe/1")),
        (format!("{configure}{subscribe}"), Some("bitaxe/1")),
        (format!("{configure}{}", subscribe.trim_end()), None),
        (SUBSCRIBE.to_owned(), None),
    ] {
        let mut rig = Rig::default();
        let agents = Rc::default();
        rig.shared.router = Box::new(Agents(Rc::clone(&agents)));
        rig.miner(&bytes);
        assert_eq!(*agents.borrow(), [agent.map(str::to_owned)], "{bytes}");
    }
}

/// Notes the user agents that it is told.
struct Agents(Rc<RefCell<Vec<Option<String>>>>);

impl Router for Agents {
    fn choose(&mut self, asks: &Asks<'_>) -> Option<PoolId> {
        self.0.borrow_mut().push(asks.agent.map(str::to_owned));
        Some(POOL)
    }
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
