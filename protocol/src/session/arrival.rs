//! The first bytes of a miner: what is no Stratum ends here, and what is known for the choice of a pool is gathered.

use crate::downstream::Stage;
use crate::event::{CloseReason, Event, Wire};
use crate::limits::{LINE_PADDING, PATH_BYTES_MAX};
use crate::message::{Kind, Line, Message, Method};
use crate::pool::{Asks, PoolId};
use crate::replies;
use crate::session::from_miner::{between_quotes, refuse};
use crate::session::{Context, Session};
use crate::upstream::Upstream;
use crate::value;

impl Session {
    /// Looks at the first byte of the connection: other protocols end here, before anything is parsed.
    pub(super) fn greet(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> bool {
        let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else { return true };
        self.downstream.stage = Stage::Greeted;
        match first {
            // `{` is Stratum; a capital may begin an HTTP request, which its whole line tells.
            b'{' | b'A'..=b'Z' => true,
            // TLS handshake record, SSLv2 hello. bfgminer tries TLS first and then comes back in the clear.
            0x16 | 0x80 => {
                self.finish(CloseReason::TlsOnPlainPort, cx);
                false
            }
            _ => {
                if first.is_ascii_graphic() {
                    replies::error(cx.to_miner, b"null", replies::BAD_LINE);
                }
                self.finish(CloseReason::NotStratum, cx);
                false
            }
        }
    }

    /// A line before the first request that is no Stratum: the HTTP head of a miner that comes in by a path, or the end.
    #[cold]
    pub(super) fn bad_miner_line(&mut self, line: &[u8], cx: &mut Context<'_>) {
        if self.downstream.stage < Stage::Speaking {
            if self.downstream.path.is_some() && !line.starts_with(b"{") {
                return; // a header
            }
            if let Some(path) = http_target(line).filter(|path| cx.shared.router.knows_path(path)) {
                self.downstream.path = Some(path.into());
                return cx.to_miner.extend_from_slice(replies::HTTP_WELCOME);
            }
            if is_http(line) {
                cx.to_miner.extend_from_slice(replies::HTTP_ANSWER);
                return self.finish(CloseReason::HttpOnPlainPort, cx);
            }
        }
        replies::error(cx.to_miner, b"null", replies::BAD_LINE);
        let not_stratum = self.downstream.stage < Stage::Speaking && !line.starts_with(b"{");
        let reason = if not_stratum { CloseReason::NotStratum } else { CloseReason::MinerBadLine };
        self.finish(reason, cx);
    }

    /// Miners that pipeline tell their name, and what they are, before a pool must be chosen for them.
    #[cold]
    pub(super) fn look_ahead(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let mut line = Vec::new();
        if let Some(message) = call_ahead(bytes, b"mining.authorize", &mut line, cx)
            && message.kind == Kind::Call(Method::Authorize)
            && value::string(message.param(0)).is_some()
        {
            self.downstream.name_ahead = Some(between_quotes(message.param(0)).into());
        }
        if let Some(message) = call_ahead(bytes, b"mining.subscribe", &mut line, cx)
            && message.kind == Kind::Call(Method::Subscribe)
        {
            self.downstream.note_agent(&message);
        }
    }

    /// The first valid request opens the connection to a pool: scanners cost nothing. False after the session ended,
    /// since there is no pool for this miner.
    pub(super) fn dial_once(&mut self, message: &Message<'_>, cx: &mut Context<'_>) -> bool {
        self.downstream.stage = self.downstream.stage.max(Stage::Speaking);
        if self.pool != PoolId::NONE {
            return true;
        }
        if message.kind == Kind::Call(Method::Subscribe) {
            self.downstream.note_agent(message);
        }
        let name_ahead = self.downstream.name_ahead.take();
        let asks = self.asks_as(name_ahead.as_deref());
        let Some(pool) = cx.shared.router.choose(&asks) else {
            refuse(message, replies::NO_POOL, cx);
            self.finish(CloseReason::NoPool, cx);
            return false;
        };
        if cx.shared.router.keeps(&asks, pool) {
            self.pool = pool;
            cx.tell(Event::Arrived { pool });
            return true;
        }
        let wire = Wire::A;
        *self.wire_mut(wire) = Upstream::dialling(pool, cx.shared.terms.of(pool));
        (self.current, self.pool) = (Some(wire), pool);
        cx.tell(Event::Dial { wire, pool });
        true
    }

    pub(super) fn asks_as<'a>(&'a self, name: Option<&'a [u8]>) -> Asks<'a> {
        let downstream = &self.downstream;
        let agent = (!downstream.user_agent.is_empty()).then_some(&*downstream.user_agent);
        let path = downstream.path.as_deref();
        Asks { origin: downstream.origin, path, agent, name, can_follow: self.can_follow() }
    }
}

/// The first whole line that holds this method, if it is no garbage; `line` is where it is put.
fn call_ahead<'a>(
    bytes: &[u8],
    method: &[u8],
    line: &'a mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Option<Message<'a>> {
    let at = memchr::memmem::find(bytes, method)?;
    let (before, behind) = bytes.split_at(at);
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |lf| lf + 1);
    let end = memchr::memchr(b'\n', behind)?;
    line.clear();
    line.extend_from_slice(bytes.get(start..at + end)?);
    let len = line.len();
    line.resize(len + LINE_PADDING, 0);
    cx.shared.parser.parse(Line::new(line, len)?).ok()
}

fn is_http(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"PATCH ", b"PRI "];
    METHODS.iter().any(|method| line.starts_with(method))
}

/// What an HTTP request of a miner asks for.
fn http_target(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    let target = line.strip_prefix("GET ").or_else(|| line.strip_prefix("CONNECT "))?;
    let (target, version) = target.split_once(' ')?;
    let is_sane = target.len() <= PATH_BYTES_MAX && target.bytes().all(|byte| byte.is_ascii_graphic());
    (is_sane && !target.is_empty() && version.starts_with("HTTP/1.")).then_some(target)
}
