//! One parsed line as a view: nothing is owned, every part is a span of the line, raw bytes exactly as the peer sent them.

use crate::limits::{LINE_PADDING, PARAMS_MAX};

/// A line in its receive buffer: `len` bytes of text without the LF, then at least [`LINE_PADDING`] more bytes of whatever.
///
/// The parser borrows it mutably, but a line without a backslash is unchanged when the parser returns.
#[derive(Debug)]
pub struct Line<'a> {
    bytes: &'a mut [u8],
    len: usize,
    has_backslash: bool,
}

impl<'a> Line<'a> {
    /// `None` if fewer than [`LINE_PADDING`] bytes follow the line.
    #[inline]
    pub fn new(bytes: &'a mut [u8], len: usize) -> Option<Self> {
        let has_backslash = memchr::memchr(b'\\', bytes.get(..len)?).is_some();
        Self::searched(bytes, len, has_backslash)
    }

    /// One that was looked through for backslashes already.
    #[inline]
    pub(crate) fn searched(bytes: &'a mut [u8], len: usize, has_backslash: bool) -> Option<Self> {
        (len.checked_add(LINE_PADDING)? <= bytes.len()).then_some(Self { bytes, len, has_backslash })
    }

    /// Whether there is a backslash in it.
    #[inline]
    pub(crate) fn has_backslash(&self) -> bool {
        self.has_backslash
    }

    /// The text of the line.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The whole buffer and the length of the text in it.
    #[inline]
    pub fn into_parts(self) -> (&'a mut [u8], usize) {
        (self.bytes, self.len)
    }
}

/// A range of bytes in a line. An empty span stands for an absent member (no JSON value is empty).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// No JSON value at all.
    pub const ABSENT: Self = Self { start: 0, end: 0 };

    /// Whether there is a value.
    #[inline]
    pub fn is_present(self) -> bool {
        self.end != self.start
    }

    /// The bytes of the span; empty where the span does not lie in `line`.
    #[inline]
    pub fn of(self, line: &[u8]) -> &[u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// The methods that the proxy tells apart. Compared unescaped; anything else is [`Method::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `mining.configure`
    Configure,
    /// `mining.subscribe`
    Subscribe,
    /// `mining.authorize`
    Authorize,
    /// `mining.submit`
    Submit,
    /// `mining.extranonce.subscribe`
    ExtranonceSubscribe,
    /// `mining.ping`, in both directions
    Ping,
    /// `pong`: ESP-Miner's answer to a pool's ping, sent as a request with the ping's id
    Pong,
    /// `mining.term`, `mining.node`, `mining.remote`, `mining.passthrough`, `mining.update_block`
    PoolInternal,
    /// `eth_submitLogin`, `eth_login`, `eth_getWork`, `eth_submitWork`, `eth_submitHashrate`, `mining.hello`, `login`: another coin's protocol
    ForeignCoin,
    /// `mining.notify`
    Notify,
    /// `mining.set_difficulty`
    SetDifficulty,
    /// `mining.set_extranonce`
    SetExtranonce,
    /// `mining.set_version_mask`, and `mining.set_version` as one library calls it
    SetVersionMask,
    /// `client.reconnect`
    Reconnect,
    /// `client.show_message`
    ShowMessage,
    /// Any other name
    Other,
}

impl Method {
    /// The method of that name, unescaped and without quotes.
    #[inline]
    pub fn from_name(name: &[u8]) -> Self {
        match name {
            b"mining.submit" => Self::Submit,
            b"mining.notify" => Self::Notify,
            b"mining.set_difficulty" => Self::SetDifficulty,
            b"mining.configure" => Self::Configure,
            b"mining.subscribe" => Self::Subscribe,
            b"mining.authorize" => Self::Authorize,
            b"mining.extranonce.subscribe" => Self::ExtranonceSubscribe,
            b"mining.ping" => Self::Ping,
            b"pong" => Self::Pong,
            b"mining.set_extranonce" => Self::SetExtranonce,
            b"mining.set_version_mask" | b"mining.set_version" => Self::SetVersionMask,
            b"client.reconnect" => Self::Reconnect,
            b"client.show_message" => Self::ShowMessage,
            b"mining.term"
            | b"mining.node"
            | b"mining.remote"
            | b"mining.passthrough"
            | b"mining.update_block" => Self::PoolInternal,
            b"eth_submitLogin"
            | b"eth_login"
            | b"eth_getWork"
            | b"eth_submitWork"
            | b"eth_submitHashrate"
            | b"mining.hello"
            | b"login" => Self::ForeignCoin,
            _ => Self::Other,
        }
    }
}

/// What a line is, by its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has a `method` (one that is `null` does not count). Whether it is a request or a notification depends on its id.
    Call(Method),
    /// No `method`, but `result`, `error` or `reject-reason`.
    Response,
    /// A JSON object with none of these.
    Opaque,
}

/// `params` of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params {
    /// The whole value; absent when there is none.
    pub whole: Span,
    /// Whether it is an array; only then are `items` and `count` filled.
    pub is_array: bool,
    /// Number of elements, also beyond [`PARAMS_MAX`].
    pub count: u32,
    /// Raw spans of the first elements: strings include their quotes.
    pub items: [Span; PARAMS_MAX],
}

/// A parsed line. Spans index into `line`; strings include their quotes.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The line as received.
    pub line: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// The `id` value, `null` included; absent when there is no such member.
    pub id: Span,
    /// The method's name with its quotes; absent or `null` in responses.
    pub method_name: Span,
    /// The params, of a call as a rule.
    pub params: Params,
    /// `result`, of a response as a rule.
    pub result: Span,
    /// `error`, of a response as a rule.
    pub error: Span,
    /// `reject-reason` of a response (ckpool).
    pub reject_reason: Span,
}

impl Params {
    /// Notes one more element.
    #[inline]
    pub(crate) fn push(&mut self, value: Span) {
        if let Some(slot) = self.items.get_mut(self.count as usize) {
            *slot = value;
        }
        self.count += 1;
    }
}

impl<'a> Message<'a> {
    /// A message without members.
    #[inline]
    pub(crate) fn of_line(line: &'a [u8]) -> Self {
        Self {
            line,
            kind: Kind::Opaque,
            id: Span::ABSENT,
            method_name: Span::ABSENT,
            params: Params::default(),
            result: Span::ABSENT,
            error: Span::ABSENT,
            reject_reason: Span::ABSENT,
        }
    }

    /// The bytes of a span of this line.
    #[inline]
    pub fn raw(&self, span: Span) -> &'a [u8] {
        self.line.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The n-th element of `params`, raw; empty when there is none.
    #[inline]
    pub fn param(&self, n: usize) -> &'a [u8] {
        self.params.items.get(n).map_or(&[], |&span| self.raw(span))
    }

    /// Whether the id is there and not `null`: the sender wants an answer.
    #[inline]
    pub fn has_id(&self) -> bool {
        self.id.is_present() && self.raw(self.id) != b"null"
    }
}
