//! Who may do what: tokens and their roles, the Host header, other origins.
//!
//! - Without a token configured, this machine may read and nobody may command.
//! - With tokens, every page but the probes needs one, from anywhere; commands need one of role operator.
//! - A browser is only listened to when it was led here by a name that is ours (DNS rebinding) and by a page of ours, or
//!   of an origin that is configured.
//!
//! Tokens are 32 random bytes. The configuration holds only their SHA-256: with that much randomness in it there is nothing
//! to guess, so a slow hash would only be slow.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::api::Request;
use crate::problem::Problem;

/// What tokens begin with, so that people and secret scanners know them.
const TOKEN_PREFIX: &str = "adit_";
/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// What a hash in the configuration begins with.
const HASH_PREFIX: &str = "sha256:";

/// What a token allows. A later role may do all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reading.
    Viewer,
    /// Reading and commands.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Viewer, Self::Operator];

    /// Its name in configuration and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// A token as the configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name, for the audit.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Its hash.
    pub hash: TokenHash,
}

/// The hash of a token, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; TOKEN_BYTES]);

/// Not the hash of a token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a token's hash is sha256: and 64 hex digits, as `adit config token` prints it")]
pub struct NotAHash;

/// A new token: the secret, which is shown once, and the hash, which is kept.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What the operator sends.
    pub secret: String,
    /// What the configuration holds.
    pub hash: TokenHash,
}

impl NewToken {
    /// A token that nobody has seen.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        if filled != TOKEN_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let secret = format!("{TOKEN_PREFIX}{}", Hex(&bytes));
        let hash = TokenHash::of(&secret);
        Ok(Self { secret, hash })
    }
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether they are the same, in a time that does not depend on where they differ.
    fn is(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |differing, (a, b)| differing | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", Hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(NotAHash)?;
        let nibble = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8).ok_or(NotAHash);
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let bytes: Vec<u8> = pairs
            .iter()
            .map(|&[high, low]| Ok(nibble(high)? << 4 | nibble(low)?))
            .collect::<Result<_, NotAHash>>()?;
        let bytes = bytes.try_into().map_err(|_| NotAHash)?;
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(NotAHash) }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a page needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing where tokens are configured: balancers and service managers have none.
    Probe,
    /// Nothing where tokens are configured: the dashboard, which then asks for one.
    Page,
    /// The role viewer.
    Read,
    /// The role operator.
    Command,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// The token's name and role; `None` for someone without one.
    pub token: Option<(String, Role)>,
}

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub tokens: Vec<Token>,
    /// Names by which this machine is called, beside addresses and `localhost`. Lower case, without port.
    pub hosts: Vec<String>,
    /// Origins whose pages may use the API, as `https://name:port`. Lower case.
    pub origins: Vec<String>,
}

impl Access {
    /// Lets a request through to a page, or says why not.
    pub fn check(&self, request: &Request, need: Need) -> Result<Who, Problem> {
        self.check_host(request)?;
        self.check_origin(request)?;
        if self.tokens.is_empty() {
            return without_tokens(request, need);
        }
        let token = match request.header("authorization") {
            Some(value) => {
                Some(self.token(value).ok_or_else(|| Problem::new(401, "This token is not known."))?)
            }
            None => None,
        };
        match (need, token) {
            (Need::Probe | Need::Page, token) => Ok(Who { token }),
            (_, None) => Err(Problem::new(401, "Send a token: Authorization: Bearer TOKEN.")),
            (Need::Command, Some((name, Role::Viewer))) => {
                Err(Problem::new(403, format!("The token {name} may read, not command.")))
            }
            (Need::Read | Need::Command, token) => Ok(Who { token }),
        }
    }

    /// The configured origin of the page that sent the request, if it comes from one of another origin than ours.
    pub fn foreign_origin<'a>(&self, request: &Request<'a>) -> Option<&'a str> {
        request.header("origin").filter(|origin| {
            !is_own_origin(request, origin) && self.origins.iter().any(|o| o.eq_ignore_ascii_case(origin))
        })
    }

    /// A browser that was led here by somebody else's name sends that name.
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let Some(host) = request.header("host") else {
            // HTTP/1.0; no browser speaks it any more.
            return Ok(());
        };
        let name = without_port(host).to_ascii_lowercase();
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        let is_ours = inner.parse::<IpAddr>().is_ok() || name == "localhost" || self.hosts.contains(&name);
        if is_ours {
            return Ok(());
        }
        Err(Problem::new(
            421,
            "This machine is not called so here; use its address, or add the name to the configuration.",
        ))
    }

    fn check_origin(&self, request: &Request) -> Result<(), Problem> {
        match request.header("origin") {
            Some(origin) if !is_own_origin(request, origin) && self.foreign_origin(request).is_none() => {
                Err(Problem::new(403, "Pages of other origins may not use this API."))
            }
            _ => Ok(()),
        }
    }

    /// The token of an Authorization header. Takes as long whether and wherever it is found.
    fn token(&self, authorization: &str) -> Option<(String, Role)> {
        let (scheme, secret) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let hash = TokenHash::of(secret.trim());
        let mut found = None;
        for token in &self.tokens {
            if token.hash.is(&hash) {
                found = Some((token.name.clone(), token.role));
            }
        }
        found
    }
}

fn without_tokens(request: &Request, need: Need) -> Result<Who, Problem> {
    if need == Need::Command {
        return Err(Problem::new(
            403,
            "Commands need a token of role operator, and none is configured. `adit config token` makes one.",
        ));
    }
    if !request.source.ip().to_canonical().is_loopback() {
        return Err(Problem::new(
            403,
            "No token is configured, so only this machine may read. `adit config token` makes one.",
        ));
    }
    Ok(Who { token: None })
}

fn is_own_origin(request: &Request, origin: &str) -> bool {
    let host = request.header("host").unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    !host.is_empty() && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// `name:port`, `1.2.3.4:port`, `[::1]:port` or any of them without a port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, need: Need, source: &str, headers: &[(&str, &str)]) -> Result<Who, u16> {
        let request =
            Request { method: "GET", target: "/", headers, source: source.parse().unwrap(), body: b"" };
        access.check(&request, need).map_err(|problem| problem.status)
    }

    const HERE: &str = "127.0.0.1:5000";
    const ELSEWHERE: &str = "192.0.2.7:5000";

    fn with_tokens() -> (Access, String, String) {
        let [viewer, operator] = [(); 2].map(|()| NewToken::generate().unwrap());
        let token = |name: &str, role, new: &NewToken| Token { name: name.to_owned(), role, hash: new.hash };
        let tokens = vec![token("eve", Role::Viewer, &viewer), token("ada", Role::Operator, &operator)];
        let bearer = |new: NewToken| format!("Bearer {}", new.secret);
        (Access { tokens, ..Access::default() }, bearer(viewer), bearer(operator))
    }

    #[test]
    fn without_tokens_this_machine_reads_and_nobody_commands() {
        let access = Access::default();
        for source in [HERE, "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert!(check(&access, Need::Read, source, &[]).is_ok(), "{source}");
            assert_eq!(check(&access, Need::Command, source, &[]), Err(403), "{source}");
        }
        for need in [Need::Probe, Need::Page, Need::Read, Need::Command] {
            assert_eq!(check(&access, need, ELSEWHERE, &[]), Err(403), "{need:?}");
        }
    }

    #[test]
    fn with_tokens_each_role_does_what_it_may_from_anywhere() {
        let (access, viewer, operator) = with_tokens();
        for source in [HERE, ELSEWHERE] {
            let status = |need, token: &str| {
                check(&access, need, source, &[("Authorization", token)])
                    .map_or_else(|status| status, |_| 200)
            };
            assert_eq!(check(&access, Need::Read, source, &[]), Err(401));
            assert!(check(&access, Need::Probe, source, &[]).is_ok());
            assert_eq!([status(Need::Read, &viewer), status(Need::Command, &viewer)], [200, 403]);
            assert_eq!([status(Need::Read, &operator), status(Need::Command, &operator)], [200, 200]);
            let wrong = operator.replace("adit_", "adit_0");
            for token in [wrong.as_str(), "Bearer ", "Bearer", "", "Basic YTpi"] {
                assert_eq!(status(Need::Read, token), 401, "{token:?}");
            }
        }
        let who = check(&access, Need::Command, HERE, &[("authorization", &operator)]).unwrap();
        assert_eq!(who.token, Some(("ada".to_owned(), Role::Operator)));
    }

    #[test]
    fn somebody_elses_name_for_this_machine_is_refused() {
        let access = Access { hosts: vec!["proxy.farm".to_owned()], ..Access::default() };
        let status =
            |host: &str| check(&access, Need::Read, HERE, &[("Host", host)]).map_or_else(|s| s, |_| 200);
        for host in
            ["127.0.0.1:9090", "127.0.0.1", "[::1]:9090", "[::1]", "10.0.0.5", "LOCALHOST:1", "Proxy.Farm:80"]
        {
            assert_eq!(status(host), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            ":80",
        ] {
            assert_eq!(status(host), 421, "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_configured() {
        let access = Access { origins: vec!["https://grafana.farm".to_owned()], ..Access::default() };
        let status = |origin: &str| {
            let headers = [("Host", "127.0.0.1:9090"), ("Origin", origin)];
            check(&access, Need::Read, HERE, &headers).map_or_else(|status| status, |_| 200)
        };
        assert_eq!(status("http://127.0.0.1:9090"), 200);
        assert_eq!(status("https://grafana.farm"), 200);
        for origin in
            ["http://127.0.0.1:9091", "https://evil.example", "null", "https://grafana.farm.evil.example"]
        {
            assert_eq!(status(origin), 403, "{origin}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let new = NewToken::generate().unwrap();
        assert_eq!(new.hash.to_string().parse(), Ok(new.hash));
        assert_eq!(new.secret.len(), TOKEN_PREFIX.len() + 2 * TOKEN_BYTES);
        assert_eq!(TokenHash::of(&new.secret), new.hash);
        assert_ne!(NewToken::generate().unwrap().secret, new.secret);
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::of("abc").to_string(), known);
        let longer = format!("{known}0");
        for wrong in ["", "sha256:", "ba7816", &known[..70], longer.as_str(), &known.replace('b', "g")] {
            assert_eq!(wrong.parse::<TokenHash>(), Err(NotAHash), "{wrong}");
        }
    }
}
