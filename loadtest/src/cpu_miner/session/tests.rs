use super::*;

const NOTIFY: &str = r#"{"id":null,"method":"mining.notify","params":["6f3a","fd33e5063986da1a346c3f1fd2b00432ecaad478aa200b1c0003ba2700000000","0200","ffff",["52549687c0dd22f85975a6fbc7e8e3666a404aac29c30832e068e9f23bf74246"],"20000000","17034219","66252f80",false]}"#;

struct Room {
    session: Session,
    report: MinerReport,
    config: CpuMinerConfig,
}

impl Room {
    fn new() -> Self {
        Self {
            session: Session::new(1),
            report: MinerReport::new(10),
            config: CpuMinerConfig::new("127.0.0.1:1", "a.b"),
        }
    }

    fn working() -> Self {
        let mut room = Self::new();
        room.hear(
            r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}"#,
        );
        room.hear(r#"{"id":2,"result":[[],"f000000a",4],"error":null}"#);
        room.hear(r#"{"id":3,"result":true,"error":null}"#);
        room.hear(NOTIFY);
        room
    }

    fn hear(&mut self, line: &str) -> (After, String) {
        let mut out = String::new();
        let after =
            self.session.take_line(line.as_bytes(), &self.config, Instant::now(), &mut self.report, &mut out);
        (after, out)
    }

    fn submit(&mut self, task: &Task) -> String {
        let found = Found {
            connection: task.connection,
            job_number: task.job_number,
            job_id: Arc::clone(&task.job_id),
            extranonce1: hex::encode(&task.extranonce1),
            extranonce2: "00000007".into(),
            ntime: 0x6625_2f80,
            nonce: 0x0053_4aa3,
            version_bits: (task.version_mask != 0).then_some(0x00c0_e000),
        };
        let mut out = String::new();
        self.session.submit(&found, &self.config, Instant::now(), &mut self.report, &mut out);
        out
    }
}

fn leaves(after: &After) -> bool {
    matches!(after, After::Leave(_))
}

#[test]
fn the_handshake_goes_out_in_one_piece() {
    let greeting = Session::greeting(&CpuMinerConfig::new("127.0.0.1:1", "a\"b"));
    let lines: Vec<&str> = greeting.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#
    );
    assert!(lines[1].starts_with(r#"{"id":2,"method":"mining.subscribe","params":["adit-cpu-miner/"#));
    assert_eq!(lines[2], r#"{"id":3,"method":"mining.authorize","params":["a\"b","x"]}"#);
    assert_eq!(lines.len(), 3);
}

#[test]
fn work_begins_when_all_of_it_is_there_in_whatever_order() {
    let mut room = Room::new();
    assert_eq!(room.hear(NOTIFY).0, After::NewTask);
    room.hear(r#"{"id":3,"result":null,"error":null}"#);
    assert!(room.session.task().is_none(), "no extranonce yet");
    room.hear(r#"{"id":2,"result":[[],"",8],"error":null}"#);
    let task = room.session.task().unwrap();
    assert_eq!((task.extranonce1.len(), task.extranonce2_size, task.version_mask), (0, 8, 0));
    assert_eq!(
        hex::encode(&task.work.previous.0),
        "06e533fd1ada86391f3f6c343204b0d278d4aaec1c0b20aa27ba030000000000"
    );
    assert_eq!(task.work.version, 0x2000_0000);
}

#[test]
fn a_share_goes_out_as_the_pool_wants_it() {
    let mut room = Room::working();
    let task = room.session.task().unwrap();
    assert_eq!(
        room.submit(&task),
        "{\"id\":10,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"6f3a\",\"00000007\",\"66252f80\",\"00534aa3\",\"00c0e000\"]}\n"
    );
    room.hear(r#"{"id":null,"method":"mining.set_version_mask","params":["00000000"]}"#);
    let task = room.session.task().unwrap();
    assert_eq!(task.version_mask, 0, "valid at once");
    assert!(room.submit(&task).ends_with("\"00534aa3\"]}\n"), "no sixth param without a mask");
}

#[test]
fn answers_are_counted_by_their_verdict_and_only_once() {
    let mut room = Room::working();
    let task = room.session.task().unwrap();
    for _ in 0..4 {
        room.submit(&task);
    }
    room.hear(r#"{"id":11,"result":null,"error":[23,"high-hash",null]}"#);
    room.hear(r#"{"id":10,"result":true,"error":null}"#);
    room.hear(r#"{"id":12,"reject-reason":"Stale","result":false,"error":null}"#);
    assert_eq!((room.report.accepted, room.report.waiting()), (1, 1));
    assert_eq!(room.report.rejected, [(0, 1), (23, 1)].into());
    room.hear(r#"{"id":10,"result":true,"error":null}"#);
    room.hear(r#"{"id":"10","result":true,"error":null}"#);
    assert_eq!((room.report.accepted, room.report.strays), (1, 2));
    assert_eq!(room.report.latency_us().len(), 3);
    room.session.end(false, &mut room.report);
    assert_eq!((room.report.unanswered, room.report.waiting()), (1, 0));
}

#[test]
fn a_difficulty_counts_from_the_next_job() {
    let mut room = Room::working();
    let one = room.session.task().unwrap().target;
    assert_eq!(Some(one), Target::from_difficulty(1.0), "difficulty 1 until told");
    assert_eq!(room.hear(r#"{"id":null,"method":"mining.set_difficulty","params":[0.5]}"#).0, After::GoOn);
    assert_eq!(room.session.task().unwrap().target, one);
    room.hear(NOTIFY);
    assert_eq!(Some(room.session.task().unwrap().target), Target::from_difficulty(0.5));
    for nothing in ["0", "-1", "\"x\"", "null"] {
        room.hear(&format!(r#"{{"id":null,"method":"mining.set_difficulty","params":[{nothing}]}}"#));
    }
    room.hear(NOTIFY);
    assert_eq!(Some(room.session.task().unwrap().target), Target::from_difficulty(0.5));
}

#[test]
fn an_extranonce_counts_from_the_next_job() {
    let mut room = Room::working();
    room.hear(r#"{"id":null,"method":"mining.set_extranonce","params":["08000002aa",3]}"#);
    assert_eq!(room.session.task().unwrap().extranonce1, [0xf0, 0, 0, 0x0a]);
    room.hear(NOTIFY);
    let task = room.session.task().unwrap();
    assert_eq!((task.extranonce1, task.extranonce2_size), (vec![8, 0, 0, 2, 0xaa], 3));
    for wrong in [r#""0800",0"#, r#""0800",17"#, r#""080",4"#, "7,4", r#""0800""#] {
        let line = format!(r#"{{"id":null,"method":"mining.set_extranonce","params":[{wrong}]}}"#);
        assert!(leaves(&room.hear(&line).0), "{wrong}");
    }
}

#[test]
fn a_clean_job_ends_the_shares_of_those_before_and_another_job_does_not() {
    let mut room = Room::working();
    let first = room.session.task().unwrap();
    room.hear(NOTIFY);
    assert!(!room.submit(&first).is_empty());
    room.hear(&NOTIFY.replace("false", "true"));
    assert!(room.submit(&first).is_empty());
    let other_connection = Task { connection: 2, ..room.session.task().unwrap() };
    assert!(room.submit(&other_connection).is_empty());
    assert_eq!((room.report.discarded, room.report.submitted), (2, 1));
}

#[test]
fn shares_on_their_way_are_bounded() {
    let mut room = Room::working();
    let task = room.session.task().unwrap();
    for _ in 0..PENDING_MAX {
        assert!(!room.submit(&task).is_empty());
    }
    assert!(room.submit(&task).is_empty());
    assert_eq!(room.report.discarded, 1);
}

#[test]
fn the_pools_questions_are_answered() {
    let mut room = Room::working();
    let ping = r#"{"id":42,"method":"mining.ping","params":[]}"#;
    assert_eq!(room.hear(ping).1, "{\"id\":42,\"result\":\"pong\",\"error\":null}\n");
    let (_, version) = room.hear(r#"{"id":"v","method":"client.get_version","params":[]}"#);
    assert!(version.starts_with(r#"{"id":"v","result":"adit-cpu-miner/"#));
    for silent in [
        r#"{"id":null,"method":"mining.ping","params":[]}"#,
        r#"{"id":null,"method":"client.show_message","params":["hello"]}"#,
        r#"{"id":7,"method":"mining.set_goal","params":["x"]}"#,
        "",
    ] {
        assert_eq!(room.hear(silent), (After::GoOn, String::new()), "{silent}");
    }
    let (_, asked) = {
        let mut room = Room::new();
        room.config.suggest_difficulty = Some(0.25);
        room.hear(r#"{"id":3,"result":true,"error":null}"#)
    };
    assert_eq!(
        asked,
        "{\"id\":4,\"method\":\"mining.suggest_difficulty\",\"params\":[0.25]}\n\
         {\"id\":5,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}\n"
    );
}

#[test]
fn a_pool_that_refuses_or_talks_nonsense_is_left() {
    let job = |from: &str, to: &str| NOTIFY.replace(from, to);
    for line in [
        r#"{"id":3,"result":false,"error":null}"#.to_owned(),
        r#"{"id":3,"result":null,"error":[24,"no",null]}"#.to_owned(),
        r#"{"id":2,"result":null,"error":[20,"no",null]}"#.to_owned(),
        r#"{"id":2,"result":[[],"f0",65000],"error":null}"#.to_owned(),
        r#"{"id":null,"method":"client.reconnect","params":[]}"#.to_owned(),
        "Invalid JSON, disconnecting".to_owned(),
        job("0200", "020"),
        job("17034219", "1703421"),
        job("\"ffff\"", "7"),
        job("5254", "52"),
    ] {
        assert!(leaves(&Room::new().hear(&line).0), "{line}");
    }
}
