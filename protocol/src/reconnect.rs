//! `client.reconnect`: where a pool wants to be connected to, and whether that may be followed.
//!
//! A pool may move its clients among its own machines. Whoever can speak in a pool's name must not move them elsewhere, so
//! only the same host, or another one of the same registered domain, is followed (cgminer keeps to the same rule). An
//! address has no domain: there it is the same one or none.
//!
//! Where a registry ends and a name begins says the public suffix list (publicsuffix.org), as it was when Adit was built. It
//! knows the registries of countries (`co.uk`) and the domains in which anybody gets a name (`duckdns.org`): two names there
//! are two owners. A domain that became one of these later is followed inside until Adit is built anew. Names without a dot
//! and names that the list takes for a registry have no owner that could be told: only the same one is followed.

use crate::message::Message;
use crate::value;

/// Longest host name in the domain name system.
const HOST_BYTES_MAX: usize = 253;
/// Longest wait that is kept; longer ones are cut.
const WAIT_S_MAX: u64 = 3_600;

/// Where a pool wants to be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconnect {
    /// The host; `None` is the same one.
    pub host: Option<Box<str>>,
    /// The port; `None` is the same one.
    pub port: Option<u16>,
    /// How long to wait before.
    pub wait_s: u32,
}

impl Reconnect {
    /// Reads the notification. `None` if it names something that is no host or no port.
    pub fn read(message: &Message<'_>) -> Option<Self> {
        let (host, port, wait) = (message.param(0), message.param(1), message.param(2));
        let host = match value::string(host) {
            Some(host) if host.is_empty() => None,
            Some(host) if is_host(&host) => Some(host.into()),
            None if host.is_empty() || value::is_null(host) => None,
            _ => return None,
        };
        let port = match value::id_number(port) {
            Some(port) => Some(u16::try_from(port).ok().filter(|port| *port > 0)?),
            None if port.is_empty() || value::is_null(port) => None,
            None => return None,
        };
        let wait_s = value::id_number(wait).unwrap_or(0).min(WAIT_S_MAX) as u32;
        Some(Self { host, port, wait_s })
    }

    /// Whether a pool at `host` may send its clients there.
    pub fn may_leave(&self, host: Option<&str>) -> bool {
        match (&self.host, host) {
            (None, _) => true,
            (Some(target), Some(host)) => is_of_one_owner(target, host),
            (Some(_), None) => false,
        }
    }
}

fn is_host(text: &str) -> bool {
    text.len() <= HOST_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'))
}

/// Whether two hosts have the same owner: they are one, or names within one registered domain.
fn is_of_one_owner(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|host| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase());
    if is_address(&a) || is_address(&b) {
        return a == b;
    }
    a == b || psl::domain_str(&a).zip(psl::domain_str(&b)).is_some_and(|(a, b)| a == b)
}

/// Also those that are written as a system's look-up reads them, and Rust's does not: `127.1`, `0x7f000001`.
fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_number || host.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_PADDING;
    use crate::message::Line;
    use crate::parse::Parser;

    fn read(params: &str) -> Option<Reconnect> {
        let line = format!("{{\"id\":null,\"method\":\"client.reconnect\",\"params\":{params}}}");
        let mut bytes = [line.as_bytes(), &[0; LINE_PADDING]].concat();
        let mut parser = Parser::new();
        Reconnect::read(&parser.parse(Line::new(&mut bytes, line.len()).unwrap()).unwrap())
    }

    #[test]
    fn all_spellings_are_read_and_what_is_none_is_not() {
        let full = Reconnect { host: Some("eu.pool.example".into()), port: Some(3334), wait_s: 5 };
        assert_eq!(read(r#"["eu.pool.example",3334,5]"#), Some(full.clone()));
        assert_eq!(read(r#"["eu.pool.example","3334","5"]"#), Some(full));
        for same in ["[]", "null", r#"["",null]"#] {
            assert_eq!(read(same), Some(Reconnect::default()), "{same}");
        }
        for bad in [r#"["a b",1]"#, "[7]", r#"["a.b",0]"#, r#"["a.b",70000]"#, r#"["a.b","x"]"#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_same_domain_is_followed() {
        let may = |target: &str, host: &str| {
            Reconnect { host: Some(target.into()), ..Reconnect::default() }.may_leave(Some(host))
        };
        for (target, host) in [
            ("pool.example.com", "pool.example.com"),
            ("POOL.example.com", "eu.pool.EXAMPLE.com"),
            ("eu.example.com", "example.com"),
            ("a.pool.co.uk", "b.pool.co.uk"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("::1", "::1"),
            ("eu.kano.is", "kano.is"),
            ("a.mypool.duckdns.org", "mypool.duckdns.org"),
            ("EU.Pool.Co.UK", "us.pool.co.uk"),
            ("eu.pool.example.com.", "pool.example.com"),
            ("eu.pool.lan", "us.pool.lan"),
            ("a.pool.com.br", "b.pool.com.br"),
            ("ec2-1-2-3-4.compute-1.amazonaws.com", "ec2-1-2-3-4.compute-1.amazonaws.com"),
            ("localhost.", "localhost"),
            ("eu.xn--d1acufc.xn--p1ai", "xn--d1acufc.xn--p1ai"),
        ] {
            assert!(may(target, host), "{target} {host}");
        }
        for (target, host) in [
            ("evil.com", "example.com"),
            ("example.com.evil.com", "example.com"),
            ("evilexample.com", "example.com"),
            ("evil.co.uk", "pool.co.uk"),
            ("co.uk", "pool.co.uk"),
            ("10.0.0.2", "10.0.0.1"),
            ("1.2.0.1", "9.9.0.1"),
            ("evil", "localhost"),
            ("evil.com.br", "pool.com.br"),
            ("evil.gob.mx", "pool.gob.mx"),
            ("evil.duckdns.org", "pool.duckdns.org"),
            ("duckdns.org", "pool.duckdns.org"),
            ("EVIL.DuckDNS.org", "pool.duckdns.org"),
            ("evil.ddns.net", "pool.ddns.net"),
            ("evil.no-ip.org", "pool.no-ip.org"),
            ("evil.github.io", "pool.github.io"),
            ("evil.herokuapp.com", "pool.herokuapp.com"),
            ("evil.azurewebsites.net", "pool.azurewebsites.net"),
            ("ec2-5-6-7-8.compute-1.amazonaws.com", "ec2-1-2-3-4.compute-1.amazonaws.com"),
            ("evil.lan", "pool.lan"),
            ("evil.tokyo.jp", "pool.tokyo.jp"),
            ("evil.xn--p1ai", "pool.xn--p1ai"),
            ("evil.com..", "pool.com.."),
            (".com", "example.com"),
            ("..", "."),
            ("127.1", "127.0.0.1"),
            ("evil.0.0.1", "pool.0.0.1"),
            ("0x7f000001", "2130706433"),
            ("a.0x7f", "b.0x7f"),
            ("127.0.0.2", "127.0.0.1"),
            ("::2", "::1"),
            ("com", "example.com"),
            ("", "example.com."),
        ] {
            assert!(!may(target, host), "{target} {host}");
        }
        assert!(Reconnect::default().may_leave(None));
    }
}
