//! How the miners of the field open a session and number their requests.

use std::time::Duration;

use serde::Deserialize;

/// A family of miners, by what a proxy can see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// subscribe, authorize, `suggest_difficulty`, each after the answer to the one before; integer ids from 0.
    Cgminer,
    /// The same behind a configure, and with version bits in its submits.
    CgminerRolling,
    /// configure, subscribe and authorize in one write, then extranonce.subscribe.
    EspMiner,
    /// extranonce.subscribe between subscribe and authorize, waiting two seconds at most for its answer.
    Bmminer,
    /// A TLS `ClientHello` on a connection of its own first; then suggestions without an id, and ids that are strings.
    Bfgminer,
    /// Every submit has the id 4.
    Cpuminer,
    /// All ids are strings, some with escapes.
    StringIds,
    /// Submits have the id null.
    NullIds,
    /// Submits have no id at all.
    NoIds,
    /// Ids are fractions, objects, arrays and integers beyond 64 bits.
    OddIds,
}

/// All of them.
pub const STYLES: [Style; 10] = [
    Style::Cgminer,
    Style::CgminerRolling,
    Style::EspMiner,
    Style::Bmminer,
    Style::Bfgminer,
    Style::Cpuminer,
    Style::StringIds,
    Style::NullIds,
    Style::NoIds,
    Style::OddIds,
];

/// One request of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The id as written; empty for none.
    pub(super) id: String,
    pub(super) method: &'static str,
    /// The params as written.
    pub(super) params: String,
    /// What the next step waits for.
    pub(super) wait: Wait,
}

/// What a step of a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: the next request follows in the same write.
    Nothing,
    /// The answer.
    Answer,
    /// The answer, or silence for so long.
    AnswerOr(Duration),
}

impl Step {
    /// The request as a line, without its LF.
    pub(super) fn line(&self) -> String {
        request_line(&self.id, self.method, &self.params)
    }
}

/// A request as a line, without its LF; an empty id is left out.
pub(super) fn request_line(id: &str, method: &str, params: &str) -> String {
    if id.is_empty() {
        return format!(r#"{{"method":"{method}","params":{params}}}"#);
    }
    format!(r#"{{"id":{id},"method":"{method}","params":{params}}}"#)
}

impl Style {
    /// Whether the first connection only tries whether the port speaks TLS.
    pub(super) fn probes_tls(self) -> bool {
        self == Self::Bfgminer
    }

    /// Whether it asks for `mining.set_extranonce`, and does what it says.
    pub fn takes_extranonce(self) -> bool {
        matches!(self, Self::EspMiner | Self::Bmminer | Self::Bfgminer)
    }

    /// Whether submits carry version bits.
    pub(super) fn rolls_version(self) -> bool {
        matches!(self, Self::CgminerRolling | Self::EspMiner)
    }

    /// The handshake of a miner of this style with this worker name.
    pub(super) fn handshake(self, name: &str) -> Vec<Step> {
        let configure = r#"[["version-rolling"],{"version-rolling.mask":"ffffffff"}]"#;
        let agent = format!("[\"{}/sim\"]", self.agent());
        let authorize = format!("[\"{name}\",\"x\"]");
        let step = |id: &str, method, params: &str, wait| Step {
            id: id.into(),
            method,
            params: params.into(),
            wait,
        };
        let plain = |ids: [&str; 2]| {
            vec![
                step(ids[0], "mining.subscribe", &agent, Wait::Answer),
                step(ids[1], "mining.authorize", &authorize, Wait::Answer),
            ]
        };
        match self {
            Self::Cgminer => {
                let mut steps = plain(["0", "1"]);
                steps.push(step("2", "mining.suggest_difficulty", "[1]", Wait::Nothing));
                steps
            }
            Self::CgminerRolling => vec![
                step("0", "mining.configure", configure, Wait::Answer),
                step("1", "mining.subscribe", &agent, Wait::Answer),
                step("2", "mining.authorize", &authorize, Wait::Answer),
                step("3", "mining.suggest_difficulty", "[1]", Wait::Nothing),
            ],
            Self::EspMiner => vec![
                step("1", "mining.configure", configure, Wait::Nothing),
                step("2", "mining.subscribe", &agent, Wait::Nothing),
                step("3", "mining.authorize", &authorize, Wait::Answer),
                step("4", "mining.extranonce.subscribe", "[]", Wait::Nothing),
            ],
            Self::Bmminer => vec![
                step("1", "mining.subscribe", &agent, Wait::Answer),
                step("2", "mining.extranonce.subscribe", "[]", Wait::AnswerOr(Duration::from_secs(2))),
                step("3", "mining.authorize", &authorize, Wait::Answer),
                step("4", "mining.suggest_difficulty", "[1024]", Wait::Nothing),
            ],
            Self::Bfgminer => vec![
                step("null", "mining.suggest_target", "[\"00000000ffff\"]", Wait::Nothing),
                step("null", "mining.capabilities", "[{}]", Wait::Nothing),
                step("0", "mining.subscribe", &agent, Wait::Answer),
                step("\"xnsub\"", "mining.extranonce.subscribe", "[]", Wait::Nothing),
                step("\"auth\"", "mining.authorize", &authorize, Wait::Answer),
            ],
            Self::StringIds => plain(["\"s\\u0075b\"", "\"a\\\"th\""]),
            Self::OddIds => plain(["12345678901234567890123", "{\"a\": [1]}"]),
            Self::Cpuminer | Self::NullIds | Self::NoIds => plain(["1", "2"]),
        }
    }

    /// The id of the n-th submit, as written; empty for none.
    pub(super) fn submit_id(self, nth: u64) -> String {
        match self {
            Self::Cpuminer => "4".into(),
            Self::StringIds => format!("\"s\\t{nth}\""),
            Self::NullIds => "null".into(),
            Self::NoIds => String::new(),
            Self::OddIds => match nth % 4 {
                0 => format!("{nth}.50"),
                1 => format!("{{\"n\": {nth}}}"),
                2 => format!("[{nth}, null]"),
                _ => format!("98765432109876543210{nth}"),
            },
            _ => (nth + 10).to_string(),
        }
    }

    fn agent(self) -> &'static str {
        match self {
            Self::Cgminer | Self::CgminerRolling => "cgminer",
            Self::EspMiner => "bitaxe",
            Self::Bmminer => "bmminer",
            Self::Bfgminer => "bfgminer",
            Self::Cpuminer => "cpuminer",
            Self::StringIds | Self::NullIds | Self::NoIds | Self::OddIds => "oddity",
        }
    }
}

/// The start of a TLS `ClientHello` as a probing miner sends it.
pub const CLIENT_HELLO: [u8; 48] = {
    let mut hello = [0x5a; 48];
    let head = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let mut n = 0;
    while n < head.len() {
        hello[n] = head[n];
        n += 1;
    }
    hello[20] = b'\n'; // random bytes hold line feeds too
    hello
};
