//! The ways in which a whole pool goes wrong while its process lives, by name: for scenarios and for pools in processes of
//! their own. For anything finer there are [`Rule`]s.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::{Act, Rule, Script};

/// Half of a notification, as a connection that breaks in the middle leaves it.
const HALF_A_LINE: &[u8] = br#"{"id":null,"method":"mining.notify","params":["ff","0000"#;
/// What no client can make sense of: text, broken JSON, the wrong kind of JSON, and bytes.
const GARBAGE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\n\r\n{\"id\":,}\n[1,2\n\x00\xff\xfe{{{{\n\"\n";
/// Time for the kernel to send what goes before a reset, which would throw it away.
const BEFORE_RESET: Duration = Duration::from_millis(20);
/// How late a slow pool is, and how little it writes at a time.
const SLOW_BY: Duration = Duration::from_millis(700);
const SLOW_CHUNK_BYTES: usize = 7;

/// How a pool behaves toward everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Habit {
    /// As its script says.
    #[default]
    Good,
    /// Accepts connections, and never says anything.
    Mute,
    /// Knows nobody: refuses every name and every share.
    Refusing,
    /// Sends what nobody can read, instead of everything.
    Garbage,
    /// Resets every connection in the middle of a line.
    Breaking,
    /// Answers late and in small pieces.
    Slow,
}

impl Habit {
    /// The script of a pool that has this habit and else follows `script`.
    pub(crate) fn script(self, script: Script) -> Script {
        const NOBODY: &str = r#"{"id":$id,"result":null,"error":[24,"Unauthorized worker",null]}"#;
        match self {
            Self::Good => script,
            Self::Mute => Script { job_every: None, rules: vec![Rule::silent("*")], ..script },
            Self::Refusing => Script {
                rules: vec![Rule::answer("mining.authorize", NOBODY), Rule::answer("mining.submit", NOBODY)],
                ..script
            },
            Self::Garbage => Script {
                job_every: None,
                greeting: vec![Act::Send(GARBAGE.into())],
                rules: vec![Rule::on("*", [Act::Send(GARBAGE.into())])],
                ..script
            },
            Self::Breaking => Script { job_every: None, rules: vec![Rule::on("*", breaking())], ..script },
            Self::Slow => {
                Script { chunk_bytes: SLOW_CHUNK_BYTES, rules: vec![Rule::late("*", SLOW_BY)], ..script }
            }
        }
    }

    /// What happens on every open connection when a pool takes this habit.
    pub(super) fn at_once(self) -> Vec<Act> {
        match self {
            Self::Good | Self::Mute | Self::Refusing | Self::Slow => vec![],
            Self::Garbage => vec![Act::Send(GARBAGE.into())],
            Self::Breaking => breaking().into(),
        }
    }
}

fn breaking() -> [Act; 3] {
    [Act::Send(HALF_A_LINE.into()), Act::Wait(BEFORE_RESET), Act::Reset]
}
