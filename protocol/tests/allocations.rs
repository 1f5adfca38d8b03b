//! The steady state allocates nothing: not for framing, parsing and judging a line, not for a whole share's way through
//! a session.

mod rig;

use adit_protocol::event::{Event, Outcome, Side, Wire};
use adit_protocol::framer::{BufferPool, Framer, MinerFramer, PoolFramer, Received};
use adit_protocol::limits::LINE_PADDING;
use adit_protocol::message::Kind;
use adit_protocol::moment::Moment;
use adit_protocol::parse::Parser;
use adit_protocol::session::Context;
use adit_protocol::verdict::{self, Verdict};
use rig::Rig;

const SUBMIT: &str = r#"{"id":4,"method":"mining.submit","params":["bc1qexample.rig01","6f3a","0000000000000007","66252f80","00534aa3"]}"#;
const ACCEPTED: &str = r#"{"id":1017,"result":true,"error":null}"#;
const REJECTED: &str = r#"{"id":1018,"result":null,"error":[23,"high-hash",null]}"#;
const SET_DIFFICULTY: &str = r#"{"id":null,"method":"mining.set_difficulty","params":[16384]}"#;

fn notify() -> String {
    let branches = vec![format!("\"{}\"", "52".repeat(32)); 12].join(",");
    let (coinb1, coinb2) = ("02".repeat(60), "ff".repeat(140));
    format!(
        r#"{{"id":null,"method":"mining.notify","params":["6f3a","{}","{coinb1}","{coinb2}",[{branches}],"20000000","17034219","66252f80",true]}}"#,
        "fd".repeat(32)
    )
}

/// Frames and parses `bytes` in receives of `piece` bytes and returns how many messages and how many yeses there were.
fn pass<const MAX: usize>(
    bytes: &mut [u8],
    piece: usize,
    framer: &mut Framer<MAX>,
    spare: &mut BufferPool,
    parser: &mut Parser,
) -> (usize, usize) {
    let (mut messages, mut accepted, mut at) = (0, 0, 0);
    let end = bytes.len() - LINE_PADDING;
    while at < end {
        let len = piece.min(end - at);
        let mut received = Received::new(&mut bytes[at..], len).expect("padded");
        while let Some(line) = framer.next_line(&mut received, spare).expect("short lines") {
            let message = parser.parse(line).expect("sound lines");
            messages += 1;
            if message.kind == Kind::Response {
                accepted += usize::from(verdict::of_submit(&message) == Verdict::Accepted);
            }
        }
        at += len;
    }
    (messages, accepted)
}

#[test]
fn framing_parsing_and_judging_allocate_nothing_in_the_steady_state() {
    let (mut parser, mut spare) = (Parser::new(), BufferPool::default());
    let from_miner = format!("{SUBMIT}\n").repeat(20);
    let from_pool = format!("{ACCEPTED}\n{REJECTED}\n{SET_DIFFICULTY}\n{}\n", notify()).repeat(20);
    let [mut from_miner, mut from_pool] =
        [from_miner, from_pool].map(|text| [text.as_bytes(), &[0; LINE_PADDING]].concat());
    for piece in [usize::MAX, 4096, 1000, 100, 1] {
        let (mut miner_framer, mut pool_framer) = (MinerFramer::default(), PoolFramer::default());
        let mut both = || {
            let miner = pass(&mut from_miner, piece, &mut miner_framer, &mut spare, &mut parser);
            let pool = pass(&mut from_pool, piece, &mut pool_framer, &mut spare, &mut parser);
            (miner, pool)
        };
        assert_eq!(both(), ((20, 0), (80, 20)), "warm-up");
        let mut seen = ((0, 0), (0, 0));
        let allocations = allocation_counter::measure(|| seen = both());
        assert_eq!(seen, ((20, 0), (80, 20)));
        assert_eq!(allocations.count_total, 0, "in receives of {piece}");
    }
}

#[test]
fn a_share_goes_up_and_its_verdict_down_without_an_allocation() {
    let Rig { mut session, mut shared, .. } = Rig::mining("bc1qexample.rig01");
    let (mut to_miner, mut to_pool, mut accepted) = (Vec::new(), Vec::new(), 0);
    let submit = format!("{SUBMIT}\n");
    let mut exchange = |id: u64, answer: &mut [u8]| {
        let mut sent = [submit.as_bytes(), &[0; LINE_PADDING]].concat();
        let answer_len = answer.len() - LINE_PADDING;
        let allocations = allocation_counter::measure(|| {
            let mut cx = Context {
                now: Moment(id),
                to_miner: &mut to_miner,
                to_wires: [&mut to_pool, &mut Vec::new()],
                shared: &mut shared,
            };
            session.receive(Side::Miner, &mut sent, submit.len(), &mut cx);
            session.receive(Side::Pool(Wire::A), answer, answer_len, &mut cx);
        });
        assert!(to_pool.starts_with(format!("{{\"id\":{id},\"method\":\"mining.submit\"").as_bytes()));
        assert_eq!(to_miner, b"{\"id\":4,\"result\":true,\"error\":null}\n");
        to_miner.clear();
        to_pool.clear();
        accepted += shared
            .events
            .drain(..)
            .filter(|event| matches!(event, Event::Share(share) if share.outcome == Outcome::Accepted))
            .count();
        (allocations.count_total, accepted)
    };
    // Two requests of the login had the first ids; some shares fill the buffers.
    for n in 0..60 {
        let id = 1002 + n;
        let answer = format!("{{\"id\":{id},\"result\":true,\"error\":null}}\n");
        let mut answer = [answer.as_bytes(), &[0; LINE_PADDING]].concat();
        let (allocations, accepted) = exchange(id, &mut answer);
        assert_eq!(accepted as u64, n + 1);
        assert!(n < 10 || allocations == 0, "{allocations} at share {n}");
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}
