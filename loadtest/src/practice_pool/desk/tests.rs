use adit_protocol::difficulty::Target;
use adit_protocol::share::{ShareCheck, Solution};

use super::*;
use crate::practice_pool::chain::Standing;

const NOW: u32 = 1_700_000_000;
/// A few thousand hashes per share.
const DIFFICULTY: f64 = 1e-6;

struct Room {
    desk: Desk,
    client: Client,
}

impl Room {
    fn new(change: impl FnOnce(&mut PracticePoolConfig)) -> Self {
        let mut config = PracticePoolConfig {
            difficulty: DIFFICULTY,
            difficulty_min: DIFFICULTY / 10.0,
            difficulty_max: 1e6,
            transactions_count: 3,
            ..PracticePoolConfig::default()
        };
        change(&mut config);
        let book = Book { submits_kept_max: 100, ..Book::default() };
        let client = Client::new(7, config.tag, config.difficulty);
        Self { desk: Desk::new(config, Arc::new(Mutex::new(book)), NOW).unwrap(), client }
    }

    /// With a miner `a.b` that has its first job and may roll version bits.
    fn working() -> Self {
        let mut room = Self::new(|_| ());
        room.say(r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{}]}"#);
        room.say(r#"{"id":2,"method":"mining.subscribe","params":[]}"#);
        room.say(r#"{"id":3,"method":"mining.authorize","params":["a.b","x"]}"#);
        room
    }

    fn after(&mut self, line: &str) -> (After, Vec<String>) {
        let mut out = String::new();
        let after = self.desk.take_line(&mut self.client, line.as_bytes(), NOW, &mut out);
        assert!(out.is_empty() || out.ends_with('\n'));
        (after, out.lines().map(Into::into).collect())
    }

    fn say(&mut self, line: &str) -> Vec<String> {
        let (after, lines) = self.after(line);
        assert_eq!(after, After::GoOn, "{line}");
        lines
    }

    /// Params of a good share of the newest job, as if its id were `id`; `skip` good ones are left out.
    fn mine(&self, id: &str, skip: usize) -> [String; 6] {
        let job = self.desk.chain.newest().unwrap();
        let check = ShareCheck {
            job: job.work.content(),
            extranonce1: &self.client.extranonce1,
            version_mask: self.client.version_mask,
            target: Target::from_difficulty(self.client.difficulty).unwrap(),
        };
        let (extranonce2, ntime, bits) = ("0000000000000001", format!("{NOW:08x}"), "00c0e000");
        let solution = |nonce: &str| {
            let [extranonce2, ntime, nonce, bits] = [extranonce2, &ntime, nonce, bits].map(str::as_bytes);
            Solution::from_hex(extranonce2, 8, ntime, nonce, Some(bits)).unwrap()
        };
        let good = (0u32..)
            .map(|nonce| format!("{nonce:08x}"))
            .filter(|nonce| check.check(&solution(nonce)).meets)
            .nth(skip)
            .unwrap();
        ["a.b", id, extranonce2, &ntime, &good, bits].map(Into::into)
    }

    fn submit(&mut self, params: &[String]) -> String {
        let line = json!({ "id": 4, "method": "mining.submit", "params": params }).to_string();
        self.after(&line).1.remove(0)
    }
}

const YES: &str = r#"{"id":4,"result":true,"error":null}"#;

fn no(code: i32, text: &str) -> String {
    format!(r#"{{"id":4,"result":null,"error":[{code},"{text}",null]}}"#)
}

#[test]
fn jobs_come_once_a_miner_is_subscribed_and_authorised_in_either_order() {
    let subscribe = r#"{"id":"s","method":"mining.subscribe","params":["miner/1.0"]}"#;
    let authorize = r#"{"id":3,"method":"mining.authorize","params":["a.b"]}"#;
    let subscribed = r#"{"id":"s","result":[[["mining.set_difficulty","f0000007"],["mining.notify","f0000007"]],"f0000007",8],"error":null}"#;
    let authorised = r#"{"id":3,"result":true,"error":null}"#;
    for order in [[subscribe, authorize], [authorize, subscribe]] {
        let mut room = Room::new(|_| ());
        let first = room.say(order[0]);
        assert_eq!(first, [if order[0] == subscribe { subscribed } else { authorised }]);
        let second = room.say(order[1]);
        assert_eq!(second[0], if order[1] == subscribe { subscribed } else { authorised });
        assert_eq!(second[1], r#"{"id":null,"method":"mining.set_difficulty","params":[0.000001]}"#);
        assert!(second[2].contains("mining.notify") && second[2].ends_with(",true]}"), "{}", second[2]);
        assert_eq!(second.len(), 3);
        assert_eq!(room.say(subscribe), [subscribed], "the same again, and no second job");
    }
}

#[test]
fn version_bits_are_granted_where_both_sides_have_them() {
    let mut room = Room::new(|_| ());
    let mut mask = |options: &str| {
        let codes = r#"["version-rolling","minimum-difficulty","subscribe-extranonce"]"#;
        let line = format!(r#"{{"id":1,"method":"mining.configure","params":[{codes},{options}]}}"#);
        let answer: Value = serde_json::from_str(&room.say(&line)[0]).unwrap();
        assert_eq!(answer["result"]["minimum-difficulty"], json!(false));
        assert_eq!(answer["result"]["subscribe-extranonce"], json!(true));
        (
            answer["result"]["version-rolling"] == json!(true),
            answer["result"]["version-rolling.mask"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(mask(r#"{"version-rolling.mask":"ffffffff"}"#), (true, "1fffe000".into()));
    assert_eq!(mask(r#"{"version-rolling.mask":"00ff0000"}"#), (true, "00ff0000".into()));
    assert_eq!(mask("{}"), (true, "1fffe000".into()));
    assert_eq!(mask(r#"{"version-rolling.mask":"e0000000"}"#), (false, "00000000".into()));
    assert_eq!(mask(r#"{"version-rolling.mask":7}"#), (false, "00000000".into()));
    assert_eq!(room.say(r#"{"id":4,"method":"mining.configure","params":{}}"#), [no(20, "Invalid params")]);
}

#[test]
fn a_good_share_is_accepted_once() {
    let mut room = Room::working();
    let share = room.mine("1", 0);
    assert_eq!(room.submit(&share), YES);
    assert_eq!(room.submit(&share), no(22, "Duplicate share"));
    let upper = share.clone().map(|text| if text == "00c0e000" { "00C0E000".into() } else { text });
    assert_eq!(room.submit(&upper), no(22, "Duplicate share"), "whatever the case of its digits");
    let next = room.mine("1", 1);
    assert_eq!(room.submit(&next), YES);
    let book = room.desk.book.lock();
    assert_eq!((book.stats.accepted, book.stats.rejected_count()), (2, 2));
    assert!((book.stats.difficulty_sum / (2.0 * DIFFICULTY) - 1.0).abs() < 1e-9);
    assert_eq!(book.log.accepted_submits(), 2);
    assert_eq!(book.log.submits[1].fit, Fit::Duplicate);
}

#[test]
fn a_share_made_wrong_by_one_change_gets_the_code_that_says_so() {
    let early = format!("{:08x}", NOW - 1);
    let late = format!("{:08x}", NOW + 7_001);
    for (n, value, code, text) in [
        (0, "a.c", 24, "Unauthorized worker"),
        (1, "2", 21, "Job not found"),
        (1, "", 21, "Job not found"),
        (2, "00000001", 20, "Invalid extranonce2 length"),
        (2, "000000000000000x", 20, "Invalid extranonce2 length"),
        (2, "0000000000000002", 23, "Low difficulty share"),
        (3, early.as_str(), 20, "Ntime out of range"),
        (3, late.as_str(), 20, "Ntime out of range"),
        (3, "1", 20, "Invalid number"),
        (4, "ffffffff", 23, "Low difficulty share"),
        (4, "0x000001", 20, "Invalid number"),
        (5, "00c0e001", 20, "Invalid version mask"),
        (5, "e0c0e000", 20, "Invalid version mask"),
        (5, "0000e000", 23, "Low difficulty share"),
    ] {
        let mut room = Room::working();
        let mut share = room.mine("1", 0);
        share[n] = value.into();
        assert_eq!(room.submit(&share), no(code, text), "{n} {value}");
    }
    let mut room = Room::working();
    let share = room.mine("1", 0);
    assert_eq!(room.submit(&share[..4]), no(20, "Invalid params"));
    assert_eq!(room.submit(&[]), no(20, "Invalid params"));
    assert_eq!(room.desk.book.lock().stats.rejected, [(20, 2)].into());
    assert_eq!(room.submit(&share), YES, "nothing of that harmed the session");
}

#[test]
fn a_share_before_subscribe_or_authorize_is_told_so() {
    let share = Room::working().mine("1", 0);
    let mut room = Room::new(|_| ());
    assert_eq!(room.submit(&share), no(25, "Not subscribed"));
    room.say(r#"{"id":2,"method":"mining.subscribe","params":[]}"#);
    assert_eq!(room.submit(&share), no(24, "Unauthorized worker"));
}

#[test]
fn a_share_for_an_earlier_tip_is_stale_and_for_an_earlier_job_is_not() {
    let mut room = Room::working();
    let (share, late) = (room.mine("1", 0), room.mine("1", 1));
    room.desk.next_job(NOW);
    assert_eq!(room.submit(&share), YES);
    room.desk.next_block(NOW);
    assert_eq!(room.submit(&late), no(21, "Stale"));
    assert!(matches!(room.desk.chain.find(1), Standing::Stale));
}

#[test]
fn a_block_becomes_the_tip() {
    let mut room = Room::new(|config| config.nbits = 0x207f_ffff);
    room.say(r#"{"id":2,"method":"mining.subscribe","params":[]}"#);
    room.say(r#"{"id":3,"method":"mining.authorize","params":["a.b","x"]}"#);
    let mut share = room.mine("1", 0);
    share[5] = "00000000".into();
    let good = (0..u32::MAX).map(|nonce| format!("{nonce:08x}")).find(|nonce| {
        share[4].clone_from(nonce);
        let line = json!({ "id": 4, "method": "mining.submit", "params": share }).to_string();
        let (after, lines) = room.after(&line);
        assert_eq!(after == After::NewBlock, lines[0] == YES, "every share is a block here");
        after == After::NewBlock
    });
    assert!(good.is_some());
    let newest = room.desk.chain.newest().unwrap();
    assert!(newest.is_clean && newest.number == 2);
    assert!(Target::from_difficulty(DIFFICULTY).unwrap().is_met_by(&newest.work.previous));
    assert_eq!(room.desk.book.lock().stats.blocks, 1);
}

#[test]
fn a_suggested_difficulty_is_kept_within_bounds_and_counts_from_the_next_job() {
    let mut room = Room::working();
    let easy = room.mine("1", 0);
    let told = room.say(r#"{"id":9,"method":"mining.suggest_difficulty","params":[1e9]}"#);
    assert_eq!(told[0], r#"{"id":null,"method":"mining.set_difficulty","params":[1000000]}"#);
    assert!(told[1].contains(r#""params":["1-1","#), "the same job has another id: {}", told[1]);
    assert_eq!(told.len(), 2, "no answer: some miners would count it");
    assert_eq!(room.submit(&easy), YES, "the job of before has its own difficulty");
    let same = room.say(r#"{"id":9,"method":"mining.suggest_difficulty","params":[2e6]}"#);
    assert!(same.is_empty(), "nothing changed: {same:?}");
    for nothing in ["0", "-5", "\"7\"", "null", "[1]"] {
        let line = format!(r#"{{"id":9,"method":"mining.suggest_difficulty","params":[{nothing}]}}"#);
        assert!(room.say(&line).is_empty(), "{nothing}");
    }
    let lowest = room.say(r#"{"id":9,"method":"mining.suggest_difficulty","params":[1e-30]}"#);
    assert!(lowest[0].contains("[0.0000001]"), "{}", lowest[0]);
    let mut easier = room.mine("1-2", 0);
    assert_eq!(room.submit(&easier), YES);
    easier[1] = "1-1".into();
    assert_eq!(
        room.submit(&easier),
        no(22, "Duplicate share"),
        "judged by the easier of the two difficulties"
    );
}

#[test]
fn other_requests_have_defined_answers() {
    let mut room = Room::working();
    for (method, answer) in [
        ("mining.extranonce.subscribe", r#"{"id":9,"result":true,"error":null}"#),
        ("mining.ping", r#"{"id":9,"result":"pong","error":null}"#),
        ("mining.get_transactions", r#"{"id":9,"result":null,"error":[20,"Not supported.",null]}"#),
        ("mining.unheard_of", r#"{"id":9,"result":null,"error":[-3,"Method not found",null]}"#),
    ] {
        let call = |id: &str| format!(r#"{{{id}"method":"{method}","params":[]}}"#);
        assert_eq!(room.say(&call(r#""id":9,"#)), [answer]);
        assert_eq!(room.say(&call(r#""id":[1.50],"#)), [answer.replace('9', "[1.50]")]);
        assert!(room.say(&call(r#""id":null,"#)).is_empty());
        assert!(room.say(&call("")).is_empty());
    }
    for silent in [
        r#"{"id":42,"method":"pong","params":[]}"#,
        r#"{"id":42,"result":"pong"}"#,
        r#"{"id":null,"method":"mining.suggest_target","params":["00"]}"#,
        r#"{"id":null,"method":"mining.capabilities","params":[{}]}"#,
        "",
        "  \r",
    ] {
        assert!(room.say(silent).is_empty(), "{silent}");
    }
}

#[test]
fn names_are_bounded_and_checked() {
    let mut room = Room::new(|_| ());
    let mut authorize = |name: &str| {
        let line = json!({ "id": 4, "method": "mining.authorize", "params": [name, "x"] }).to_string();
        room.say(&line).remove(0)
    };
    assert_eq!(authorize(""), no(24, "Invalid worker name"));
    assert_eq!(authorize(&"n".repeat(NAME_BYTES_MAX + 1)), no(24, "Invalid worker name"));
    for n in 0..NAMES_MAX {
        assert_eq!(authorize(&format!("a.{n}")), YES);
    }
    assert_eq!(authorize("a.16"), no(20, "Too many workers"));
    assert_eq!(authorize("a.3"), YES, "one that is authorised may ask again");
    assert_eq!(room.say(r#"{"id":4,"method":"mining.authorize","params":[]}"#), [no(20, "Invalid params")]);
}

#[test]
fn what_is_not_stratum_ends_the_connection() {
    let mut room = Room::working();
    let long = format!(r#"{{"id":1,"method":"mining.ping","params":["{}"]}}"#, "x".repeat(LINE_BYTES_MAX));
    for line in ["hello", "[]", "{", "GET / HTTP/1.1", "\u{16}\u{3}\u{1}", "{\"id\":1,\"id\":2}", &long] {
        assert_eq!(room.after(line), (After::Close, vec![]), "{line:.40}");
    }
}
