//! Stratum lines in the sizes of real ones, composed from a fixed seed: the same bytes on every machine.

use adit_protocol::limits::LINE_PADDING;

/// Distinct lines of each kind: enough that no branch predictor learns them by heart.
pub const LINES_COUNT: usize = 512;

/// The kinds of lines that make up a proxy's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A share, from a miner.
    Submit,
    /// A pool's yes to it.
    Response,
    /// A pool's `mining.set_difficulty`.
    SetDifficulty,
    /// A job with a dozen merkle branches.
    Notify,
    /// A pool's no, in each of the seven shapes.
    Reject,
}

impl LineKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Submit, Self::Response, Self::SetDifficulty, Self::Notify, Self::Reject];

    /// The name used in reports and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Response => "response",
            Self::SetDifficulty => "set_difficulty",
            Self::Notify => "notify",
            Self::Reject => "reject",
        }
    }
}

/// Lines of one kind in a row, as a socket would deliver them: each with its LF, padding behind the last.
#[derive(Clone, Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each line starts and how long it is without its LF.
    places: Vec<(usize, usize)>,
    /// What a pass over the lines must sum up to.
    expected: u64,
}

impl Lines {
    /// [`LINES_COUNT`] lines of `kind`.
    pub fn of(kind: LineKind) -> Self {
        let mut dice = Dice(0x5eed_0000 + kind as u64);
        let mut lines = Self { bytes: Vec::new(), places: Vec::new(), expected: 0 };
        for n in 0..LINES_COUNT {
            let (line, weight) = compose(kind, n, &mut dice);
            lines.places.push((lines.bytes.len(), line.len()));
            lines.bytes.extend_from_slice(line.as_bytes());
            lines.bytes.push(b'\n');
            lines.expected += weight;
        }
        lines.bytes.extend([0; LINE_PADDING]);
        lines
    }

    /// The sum that a [pass](crate::passes) over these lines must give.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// The lines with their LFs, without the padding: how many bytes.
    pub fn bytes_count(&self) -> usize {
        self.bytes.len() - LINE_PADDING
    }

    /// Mean length of a line without its LF.
    pub fn mean_bytes(&self) -> f64 {
        (self.bytes_count() - self.places.len()) as f64 / self.places.len() as f64
    }

    /// All bytes, padding included.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// All bytes, padding included, and where the lines are in them.
    pub fn parts_mut(&mut self) -> (&mut [u8], &[(usize, usize)]) {
        (&mut self.bytes, &self.places)
    }
}

/// The n-th line of a kind, and what it adds to the sum of a pass: the lengths of id, params, result and error.
fn compose(kind: LineKind, n: usize, dice: &mut Dice) -> (String, u64) {
    let id = (1000 + n * 7).to_string();
    match kind {
        LineKind::Submit => {
            let params = [
                format!("\"bc1q{}.rig{:03}\"", dice.hex(27), dice.below(1000)),
                format!("\"{:x}\"", 0x6f30 + dice.below(4096)),
                format!("\"{}\"", dice.hex(8)),
                format!("\"66{}\"", dice.hex(6)),
                format!("\"{}\"", dice.hex(8)),
            ];
            call(&id, "mining.submit", &params)
        }
        LineKind::Response => answer(&(10_000 + dice.below(90_000)).to_string(), "true", "null"),
        LineKind::SetDifficulty => {
            call("null", "mining.set_difficulty", &[(1 << (10 + dice.below(12))).to_string()])
        }
        LineKind::Notify => {
            let branches: Vec<String> =
                (0..11 + dice.below(3)).map(|_| format!("\"{}\"", dice.hex(64))).collect();
            let (coinb1_digits, coinb2_digits) = (172 + 2 * dice.below(16), 308 + 2 * dice.below(16));
            let params = [
                format!("\"{}\"", dice.hex(4)),
                format!("\"{}\"", dice.hex(64)),
                format!("\"{}\"", dice.hex(coinb1_digits)),
                format!("\"{}\"", dice.hex(coinb2_digits)),
                format!("[{}]", branches.join(",")),
                "\"20000000\"".to_owned(),
                "\"17034219\"".to_owned(),
                format!("\"66{}\"", dice.hex(6)),
                ["true", "false"][dice.below(2)].to_owned(),
            ];
            call("null", "mining.notify", &params)
        }
        LineKind::Reject => match n % 7 {
            0 => answer(&id, "null", r#"[23,"high-hash",null]"#),
            1 => answer(&id, "null", r#"[21,"job not found"]"#),
            2 => answer(&id, "false", r#"{"code":21,"message":"job not found","data":null}"#),
            3 => {
                let weight = (id.len() + "false".len() + "null".len()) as u64;
                (format!(r#"{{"reject-reason":"Stale","result":false,"error":null,"id":{id}}}"#), weight)
            }
            4 => answer(&id, "false", r#""Worker mismatch""#),
            5 => answer(&id, "null", r#"["22","Duplicate share"]"#),
            _ => answer(&id, "false", "null"),
        },
    }
}

fn call(id: &str, method: &str, params: &[String]) -> (String, u64) {
    let weight = id.len() + params.iter().map(String::len).sum::<usize>();
    (format!(r#"{{"id":{id},"method":"{method}","params":[{}]}}"#, params.join(",")), weight as u64)
}

fn answer(id: &str, result: &str, error: &str) -> (String, u64) {
    let weight = id.len() + result.len() + error.len();
    (format!(r#"{{"id":{id},"result":{result},"error":{error}}}"#), weight as u64)
}

/// A small generator (splitmix64): the same throws everywhere and always.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.throw() % bound as u64) as usize
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_distinct_and_as_long_as_real_ones() {
        for (kind, from, to) in [
            (LineKind::Submit, 126.0, 130.0),
            (LineKind::Response, 38.0, 40.0),
            (LineKind::SetDifficulty, 58.0, 64.0),
            (LineKind::Notify, 1450.0, 1500.0),
            (LineKind::Reject, 40.0, 80.0),
        ] {
            let lines = Lines::of(kind);
            let mean = lines.mean_bytes();
            assert!((from..to).contains(&mean), "{}: {mean} bytes", kind.name());
            if matches!(kind, LineKind::Submit | LineKind::Notify) {
                let mut all: Vec<&[u8]> =
                    lines.places.iter().map(|&(at, len)| &lines.bytes[at..at + len]).collect();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), LINES_COUNT, "{}", kind.name());
            }
        }
    }
}
