//! `client.reconnect`: where a pool wants to be connected to, and whether that may be followed.
//!
//! A pool may move its clients among its own machines. Whoever can speak in a pool's name must not move them elsewhere, so
//! only the same host, or another one of the same registered domain, is followed (cgminer keeps to the same rule). An
//! address has no domain: there it is the same one or none.
//!
//! Where a registry ends and a name begins, only a list can say that has to be kept up to date (publicsuffix.org, some ten
//! thousand rules), and a list built in ages with the program. This here needs none and errs to the side of refusing: a
//! short name under a country's domain is taken for a registry, and the well-known domains in which anybody gets a name are
//! none of anybody's. What is refused so is told, and an operator who wants it configures the address.

use crate::message::Message;
use crate::value;

/// Longest host name in the domain name system.
const HOST_BYTES_MAX: usize = 253;
/// Longest wait that is kept; longer ones are cut.
const WAIT_S_MAX: u64 = 3_600;
/// Names of that many letters under the domain of a country are registries as a rule (`co.uk`, `com.br`, `gob.mx`):
/// `pool.co.uk` and `evil.co.uk` are not of one domain.
const REGISTRY_BYTES_MAX: usize = 3;
/// Longer ones, whatever the domain.
const REGISTRIES: [&str; 4] = ["firm", "info", "asso", "priv"];
/// Domains in which anybody gets a name.
const SHARED: [&str; 16] = [
    "amazonaws.com",
    "azurewebsites.net",
    "cloudapp.net",
    "ddns.net",
    "duckdns.org",
    "dyndns.org",
    "dynu.net",
    "fly.dev",
    "github.io",
    "herokuapp.com",
    "hopto.org",
    "myftp.org",
    "ngrok.io",
    "no-ip.org",
    "sytes.net",
    "zapto.org",
];

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
            (Some(target), Some(host)) => {
                target.eq_ignore_ascii_case(host)
                    || registered(target)
                        .zip(registered(host))
                        .is_some_and(|(target, host)| target.eq_ignore_ascii_case(host))
            }
            (Some(_), None) => false,
        }
    }
}

fn is_host(text: &str) -> bool {
    text.len() <= HOST_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'))
}

/// The part of a host name that its owner registered. `None` for addresses, names without a dot, and registries.
fn registered(host: &str) -> Option<&str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let last = dots.next()?;
    let second = dots.next();
    let domain = host.get(second.map_or(0, |at| at + 1)..)?;
    let label = domain.split('.').next()?;
    let is_country = host.len() - last == 3;
    let is_registry = is_country && (label.len() <= REGISTRY_BYTES_MAX || is_one_of(&REGISTRIES, label));
    if !is_registry && !is_one_of(&SHARED, domain) {
        return Some(domain);
    }
    second?;
    host.get(dots.next().map_or(0, |at| at + 1)..)
}

fn is_one_of(known: &[&str], name: &str) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
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
            ("ec2-1.amazonaws.com", "ec2-2.amazonaws.com"),
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
