//! Values as written → values that mean something. Each parser says what it allows.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use adit_protocol::names::{NameRule, Template, TemplateError};

use super::raw::{Entry, Raw};
use super::read::Fault;
use super::show::Switchable;
use crate::logging::levels::Levels;
use crate::pools::network::Network;
use crate::pools::pattern::Pattern;
use crate::pools::settings::default_name;
use crate::settings::{LogFormat, Secret};

/// Says that something is not wanted.
pub const OFF: &str = "off";
/// Longest password sent to a pool, bytes.
pub const PASSWORD_BYTES_MAX: usize = 255;
/// Longest host name, as DNS has it.
const HOST_BYTES_MAX: usize = 253;
/// Longest name of a pool or group, bytes: a host name, brackets, and a port.
const LABEL_BYTES_MAX: usize = HOST_BYTES_MAX + "[]:65535".len();
/// Longest path that a route may name, bytes.
const PATH_BYTES_MAX: usize = 255;
/// What a pool URL looks like.
pub const POOL_URL: &str = "stratum+tcp://HOST:PORT";

const LISTEN: &str = "addresses with port, such as 0.0.0.0:3333 or [::]:3333, each once";
const ADMIN: &str = "addresses with port, such as 127.0.0.1:9090, each once, or off";
const TRUTH: &str = "true or false";
const FILE: &str = "the path of a file";
const FORMAT: &str = "text or json";
const LEVELS: &str =
    "a level (off, error, warn, info, debug, trace), then module=level, as in info,adit::shard=debug";
#[cfg(feature = "sentry")]
const DSN: &str = "http://KEY@HOST[:PORT]/PROJECT";
const PASSWORD: &str = "1 to 255 bytes of text without control characters";
const USER: &str = "the account's name at the pool: visible ASCII characters but \" and \\";
/// What names of pools and groups look like.
pub const LABEL: &str = "letters, digits and . _ - : [ ]";
const PATH: &str = "a path such as /order-1, or HOST:PORT for miners that send CONNECT, of visible ASCII characters but \
                    \", \\, ? and #";
const LISTENER: &str = "one of the addresses in listen";
const PATTERN: &str = "a worker's name, * for any characters and ? for one, such as farm1.*";
const NETWORK: &str = "a network such as 10.1.0.0/16 or 2001:db8::/32, or an IP address";
const WORKER_NAME: &str = "{account}, {name}, {worker} and plain text, such as {account}.{worker}";

/// A whole number within `range`.
pub fn number<T>(range: RangeInclusive<T>) -> impl Fn(&Raw) -> Result<T, Fault>
where
    T: Copy + PartialOrd + fmt::Display + TryFrom<i128> + FromStr,
{
    move |raw| {
        let allowed = || format!("a whole number from {} to {}", range.start(), range.end());
        let number = match raw {
            Raw::Integer(number) => T::try_from(*number).ok(),
            Raw::Word(word) => match word.trim().parse() {
                Ok(number) => Some(number),
                Err(_) if word.trim().parse::<i128>().is_ok() => None,
                Err(_) => return Err(Fault::new("it is not a whole number", allowed())),
            },
            other => return Err(Fault::new(format!("it is {}", other.kind()), allowed())),
        };
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            _ => Err(Fault::new("it is out of bounds", allowed())),
        }
    }
}

/// A number of shards.
pub fn count(max: usize) -> impl Fn(&Raw) -> Result<NonZeroUsize, Fault> {
    let parse = number(1..=max);
    move |raw| {
        let count = parse(raw)?;
        NonZeroUsize::new(count).ok_or_else(|| Fault::new("it is 0", "1 or more"))
    }
}

/// `true` or `false`.
pub fn truth(raw: &Raw) -> Result<bool, Fault> {
    match raw {
        Raw::Truth(truth) => Ok(*truth),
        Raw::Word(word) => word.trim().parse().map_err(|_| Fault::new("it is neither", TRUTH)),
        other => Err(Fault::new(format!("it is {}", other.kind()), TRUTH)),
    }
}

/// Addresses to listen on; at least one, each once. One text alone may hold several, separated by commas.
pub fn addresses(raw: &Raw) -> Result<Vec<SocketAddr>, Fault> {
    some_addresses(raw, LISTEN)
}

fn some_addresses(raw: &Raw, allowed: &str) -> Result<Vec<SocketAddr>, Fault> {
    let mut addresses = Vec::new();
    let mut add = |raw: &Raw| -> Result<(), Fault> {
        for part in text(raw, allowed)?.split(',') {
            let address = address(part.trim(), allowed)?;
            if address.port() != 0 && addresses.contains(&address) {
                return Err(Fault::new(format!("{address} is given twice"), allowed));
            }
            addresses.push(address);
        }
        Ok(())
    };
    match raw {
        Raw::List(items) if items.is_empty() => return Err(Fault::new("it is empty", allowed)),
        Raw::List(items) => items.iter().try_for_each(|item: &Entry| {
            add(&item.raw).map_err(|fault| Fault { item: Some(Box::new(item.clone())), ..fault })
        })?,
        other => add(other)?,
    }
    Ok(addresses)
}

/// Addresses to listen on, or `off`.
pub fn addresses_or_off(raw: &Raw) -> Result<Switchable<Vec<SocketAddr>>, Fault> {
    let is_off = match raw {
        // A flag that may be given several times comes as a list.
        Raw::List(items) => matches!(items.as_slice(), [item] if is_off(&item.raw)),
        other => is_off(other),
    };
    if is_off { Ok(Switchable::Off) } else { some_addresses(raw, ADMIN).map(Switchable::On) }
}

fn is_off(raw: &Raw) -> bool {
    matches!(raw, Raw::Word(text) | Raw::Text(text) if text.trim() == OFF)
}

/// Texts, one or several; one text alone may hold several, separated by commas. Empty is none.
pub fn list<T: PartialEq>(
    raw: &Raw,
    allowed: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Fault> {
    let mut values = Vec::new();
    let mut add = |raw: &Raw| -> Result<(), Fault> {
        for part in text(raw, allowed)?.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let value = parse(part).map_err(|problem| Fault::new(problem, allowed))?;
            if values.contains(&value) {
                return Err(Fault::new("it is given twice", allowed));
            }
            values.push(value);
        }
        Ok(())
    };
    match raw {
        Raw::List(items) => items.iter().try_for_each(|item: &Entry| {
            add(&item.raw).map_err(|fault| Fault { item: Some(Box::new(item.clone())), ..fault })
        })?,
        other => add(other)?,
    }
    Ok(values)
}

/// The path of a file.
pub fn file(raw: &Raw) -> Result<PathBuf, Fault> {
    match text(raw, FILE)? {
        "" => Err(Fault::new("it is empty", FILE)),
        path if path.contains('\0') => Err(Fault::new("it holds a NUL", FILE)),
        path if path.ends_with('/') => Err(Fault::new("it is a directory", FILE)),
        path => Ok(PathBuf::from(path)),
    }
}

/// What is logged of which module.
pub fn levels(raw: &Raw) -> Result<Levels, Fault> {
    text(raw, LEVELS)?.parse().map_err(|error| Fault::new(format!("{error}"), LEVELS))
}

/// How log records are written.
pub fn format(raw: &Raw) -> Result<LogFormat, Fault> {
    match text(raw, FORMAT)?.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Fault::new("there is no such format", FORMAT)),
    }
}

/// Where errors are reported.
#[cfg(feature = "sentry")]
pub fn sentry_dsn(raw: &Raw) -> Result<Secret, Fault> {
    let text = text(raw, DSN)?;
    match crate::reporting::dsn::Dsn::parse(text) {
        Ok(_) => Ok(Secret::new(text)),
        Err(error) => Err(Fault::new(error.to_string(), DSN)),
    }
}

/// Where errors are reported: nowhere in this build.
#[cfg(not(feature = "sentry"))]
pub fn sentry_dsn(_: &Raw) -> Result<Secret, Fault> {
    Err(Fault::new(
        "this Adit was built without error reporting",
        "none, or a build with `--features sentry`",
    ))
}

/// The password sent to the pool.
pub fn password(raw: &Raw) -> Result<Secret, Fault> {
    let text = text(raw, PASSWORD)?;
    if text.is_empty() || text.len() > PASSWORD_BYTES_MAX {
        return Err(Fault::new(format!("it has {} bytes", text.len()), PASSWORD));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new("it holds a control character", PASSWORD));
    }
    Ok(Secret::new(text))
}

/// The account that names sent upstream start with.
pub fn user(raw: &Raw) -> Result<String, Fault> {
    let account = text(raw, USER)?.to_owned();
    match NameRule::new(Some(account.clone()), None) {
        // Whether account and template fit together is asked once both are known.
        Ok(_) | Err(TemplateError::TooLong(_)) => Ok(account),
        Err(error) => Err(Fault::new(error.to_string(), USER)),
    }
}

/// The template of names sent upstream: as text, which is known to be one.
pub fn worker_name(raw: &Raw) -> Result<String, Fault> {
    let template = text(raw, WORKER_NAME)?;
    match Template::parse(template) {
        Ok(_) => Ok(template.to_owned()),
        Err(error) => Err(Fault::new(error.to_string(), WORKER_NAME)),
    }
}

/// The name of a pool or a group.
pub fn label(raw: &Raw) -> Result<String, Fault> {
    let label = text(raw, LABEL)?;
    let is_allowed = |c: &char| c.is_ascii_alphanumeric() || "._-:[]".contains(*c);
    match label.chars().find(|c| !is_allowed(c)) {
        Some(c) => Err(Fault::new(format!("it holds {c:?}"), LABEL)),
        None if label.is_empty() || label.len() > LABEL_BYTES_MAX => Err(Fault::new(
            format!("it has {} characters", label.len()),
            format!("1 to {LABEL_BYTES_MAX} {LABEL}"),
        )),
        None => Ok(label.to_owned()),
    }
}

/// What miners name in the HTTP request that they begin with: a path, or the place that a CONNECT asks for.
pub fn path(raw: &Raw) -> Result<String, Fault> {
    let path = text(raw, PATH)?;
    let is_place = path
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok());
    if !path.starts_with('/') && !is_place {
        return Err(Fault::new("it neither starts with / nor names a host and a port", PATH));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Fault::new(format!("it has {} bytes", path.len()), PATH));
    }
    match path.chars().find(|&c| !c.is_ascii_graphic() || "\"\\?#".contains(c)) {
        Some(c) => Err(Fault::new(format!("it holds {c:?}"), PATH)),
        None => Ok(path.to_owned()),
    }
}

/// A pattern on workers' names.
pub fn pattern(raw: &Raw) -> Result<Pattern, Fault> {
    text(raw, PATTERN)?.parse().map_err(|error| Fault::new(format!("{error}"), PATTERN))
}

/// A network that miners come from.
pub fn network(raw: &Raw) -> Result<Network, Fault> {
    text(raw, NETWORK)?.trim().parse().map_err(|error| Fault::new(format!("{error}"), NETWORK))
}

/// One of the addresses that miners connect to; any, where those are not known.
pub fn listener(listeners: Option<&[SocketAddr]>) -> impl Fn(&Raw) -> Result<SocketAddr, Fault> {
    move |raw| {
        let wanted = address(text(raw, LISTENER)?.trim(), LISTENER)?;
        let Some(listeners) = listeners.filter(|listeners| !listeners.contains(&wanted)) else {
            return Ok(wanted);
        };
        let listeners: Vec<_> = listeners.iter().map(ToString::to_string).collect();
        Err(Fault::new(format!("{wanted} is not in listen"), listeners.join(", ")))
    }
}

/// Where a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolAddress {
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl fmt::Display for PoolAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        write!(f, "stratum+tcp://{}", default_name(host, *port))
    }
}

/// The URL of a pool.
pub fn pool_url(raw: &Raw) -> Result<PoolAddress, Fault> {
    let url = text(raw, POOL_URL)?.trim();
    let fault = |problem: String| Err(Fault::new(problem, POOL_URL));
    let Some((scheme, rest)) = url.split_once("://") else {
        return fault("it has no scheme".to_owned());
    };
    match scheme.to_ascii_lowercase().as_str() {
        "stratum+tcp" => {}
        "stratum+ssl" | "stratum+tls" | "stratum+tcps" => {
            return fault(format!("TLS to pools ({scheme}) is not there yet"));
        }
        _ => return fault(format!("the scheme {scheme} is unknown")),
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return fault("names and passwords do not stand in the URL; set user and password".to_owned());
    }
    if rest.contains(['/', '?', '#']) {
        return fault("a pool URL has no path".to_owned());
    }
    let Some((host, port)) = rest.rsplit_once(':').filter(|_| !rest.ends_with(']')) else {
        return fault("the port is missing".to_owned());
    };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ => return fault(format!("{port} is not a port from 1 to 65535")),
    };
    match host_of(host) {
        Some(host) => Ok(PoolAddress { host, port }),
        None => fault(format!("{host:?} is neither a host name nor an IP address")),
    }
}

/// The host without brackets, if it is a name that DNS may know, an IPv4 address, or an IPv6 address in brackets.
pub fn host_of(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let known =
        if numeric { name.parse::<std::net::Ipv4Addr>().is_ok() } else { name.split('.').all(is_label) };
    (known && host.len() <= HOST_BYTES_MAX).then(|| host.to_ascii_lowercase())
}

fn address(text: &str, allowed: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let problem = match text.parse::<std::net::IpAddr>() {
            Ok(_) => "the port is missing".to_owned(),
            Err(_) => format!("{text:?} is not an IP address with a port"),
        };
        Fault::new(problem, allowed)
    })
}

fn text<'a>(raw: &'a Raw, allowed: &str) -> Result<&'a str, Fault> {
    match raw {
        Raw::Word(text) | Raw::Text(text) => Ok(text),
        other => Err(Fault::new(format!("it is {}", other.kind()), allowed)),
    }
}
