//! The keys under `[admin]`: where operators are answered, and who may do what.
//!
//! A token is one text in a list, `NAME:ROLE:sha256:HEX`, so that file, environment and flags write it alike.

use std::net::{IpAddr, SocketAddr};

use adit_admin::{Role, Token};

use super::raw::Raw;
use super::read::{Fault, Reader};
use super::show::Switchable;
use super::values::{self, host_of};
use crate::settings::{AdminSettings, Secret};

/// What names of tokens look like.
pub const TOKEN_NAME: &str = "1 to 64 letters, digits and . _ -";
/// Longest name of a token.
const TOKEN_NAME_BYTES_MAX: usize = 64;
/// Most workers that can have metrics of their own.
const WORKERS_IN_METRICS_MAX: usize = 100_000;

const TOKENS: &str =
    "entries NAME:viewer:sha256:HEX or NAME:operator:sha256:HEX, as `adit config token` prints them";
const HOSTS: &str = "host names without scheme and port, such as proxy.farm.example, each once";
const ORIGINS: &str = "origins such as https://grafana.farm.example or http://10.0.0.5:3000, each once";
const LISTEN: &str = "addresses and ports of their own, or off";

/// Takes the keys. `None` where operators are not to be answered.
pub fn take(reader: &mut Reader, miners_listen: &[SocketAddr]) -> Option<AdminSettings> {
    let defaults = AdminSettings::default();
    let listen = reader.take("admin.listen", Switchable::On(defaults.listen), values::addresses_or_off);
    let tokens = reader.take("admin.tokens", defaults.tokens, tokens);
    let hosts = reader.take("admin.hosts", defaults.hosts, |raw| values::list(raw, HOSTS, host));
    let origins = reader.take("admin.origins", defaults.origins, |raw| values::list(raw, ORIGINS, origin));
    let workers = reader.take(
        "admin.workers_in_metrics_max",
        defaults.workers_in_metrics_max,
        values::number(0..=WORKERS_IN_METRICS_MAX),
    );
    let Switchable::On(addresses) = &listen else { return None };
    if addresses.len() > adit_admin::limits::ADDRESSES_COUNT_MAX {
        let allowed = format!("at most {} addresses", adit_admin::limits::ADDRESSES_COUNT_MAX);
        reader.conflict("admin.listen", Fault::new("they are too many", allowed));
    }
    let is_taken = |other: &&SocketAddr| addresses.iter().any(|&address| is_same_place(address, **other));
    if let Some(taken) = miners_listen.iter().find(is_taken) {
        let fault = Fault::new(format!("miners are awaited there ({taken})"), LISTEN);
        reader.conflict("admin.listen", fault);
    }
    Some(AdminSettings { listen: addresses.clone(), tokens, hosts, origins, workers_in_metrics_max: workers })
}

/// A token as it stands in the configuration.
pub fn token_line(token: &Token) -> String {
    let Token { name, role, hash } = token;
    format!("{name}:{}:{hash}", role.label())
}

/// The same for those who are shown the configuration.
pub fn masked_token(token: &Token) -> String {
    format!("{}:{}:{}", token.name, token.role.label(), Secret::MASK)
}

/// Whether a token may have this name.
pub fn is_token_name(name: &str) -> bool {
    (1..=TOKEN_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn tokens(raw: &Raw) -> Result<Vec<Token>, Fault> {
    let tokens = values::list(raw, TOKENS, token)?;
    for (n, token) in tokens.iter().enumerate() {
        let before = tokens.iter().take(n);
        if let Some(twin) = before.clone().find(|before| before.name == token.name) {
            return Err(Fault::new(format!("there are two tokens called {}", twin.name), TOKENS));
        }
        if let Some(twin) = before.clone().find(|before| before.hash == token.hash) {
            return Err(Fault::new(format!("{} and {} are the same token", twin.name, token.name), TOKENS));
        }
    }
    Ok(tokens)
}

fn token(text: &str) -> Result<Token, String> {
    let mut parts = text.splitn(3, ':');
    let (Some(name), Some(role), Some(hash)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it is not NAME:ROLE:HASH".to_owned());
    };
    if !is_token_name(name) {
        return Err(format!("names of tokens are {TOKEN_NAME}"));
    }
    let role = Role::ALL.into_iter().find(|known| known.label() == role);
    let role = role.ok_or_else(|| format!("{name} has no role that there is"))?;
    let hash = hash.parse().map_err(|_| format!("{name} has no hash of a token"))?;
    Ok(Token { name: name.to_owned(), role, hash })
}

fn host(text: &str) -> Result<String, String> {
    host_of(text).ok_or_else(|| format!("{text:?} is not a host name"))
}

fn origin(text: &str) -> Result<String, String> {
    let fault = || format!("{text:?} is not an origin");
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(fault)?;
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !["http", "https"].contains(&scheme) || !is_port || host_of(name).is_none() {
        return Err(fault());
    }
    Ok(lower)
}

/// Whether two listeners cannot both have their address.
fn is_same_place(a: SocketAddr, b: SocketAddr) -> bool {
    let is_any = |address: IpAddr| address.is_unspecified();
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || is_any(a.ip()) || is_any(b.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn word(text: &str) -> Raw {
        Raw::Word(text.to_owned())
    }

    #[test]
    fn a_token_is_read_as_it_is_printed_and_shown_without_its_hash() {
        let line = format!("ada:operator:{HASH}");
        let read = tokens(&word(&format!("{line}, eve:viewer:{}", HASH.replace('b', "0")))).expect("tokens");
        assert_eq!(read.iter().map(|token| token.role).collect::<Vec<_>>(), [Role::Operator, Role::Viewer]);
        assert_eq!(token_line(&read[0]), line);
        assert_eq!(masked_token(&read[0]), "ada:operator:***");
        assert_eq!(tokens(&word("")).expect("none"), []);
    }

    #[test]
    fn what_is_no_token_is_refused_without_telling_it() {
        let secret = adit_admin::NewToken::generate().expect("random numbers").secret;
        for (text, problem) in [
            (secret.clone(), "it is not NAME:ROLE:HASH"),
            (format!("ada:operator:{secret}"), "ada has no hash of a token"),
            (format!("ada:admin:{HASH}"), "ada has no role that there is"),
            (format!("a da:viewer:{HASH}"), "names of tokens are"),
            (format!(":viewer:{HASH}"), "names of tokens are"),
            (
                format!("ada:viewer:{HASH},ada:operator:{}", HASH.replace('b', "0")),
                "there are two tokens called ada",
            ),
            (format!("ada:viewer:{HASH},eve:operator:{HASH}"), "ada and eve are the same token"),
            (format!("ada:viewer:{HASH},ada:viewer:{HASH}"), "it is given twice"),
        ] {
            let fault = tokens(&word(&text)).expect_err(&text);
            assert!(fault.problem.starts_with(problem), "{text}: {}", fault.problem);
            assert!(!fault.problem.contains(&secret), "{}", fault.problem);
        }
    }

    #[test]
    fn hosts_and_origins_are_names_in_lower_case() {
        assert_eq!(host("Proxy.Farm").as_deref(), Ok("proxy.farm"));
        for wrong in ["http://proxy.farm", "proxy.farm:9090", "", "a b"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        for right in ["https://Grafana.Farm", "http://10.0.0.5:3000", "https://[::1]:8443", "https://[::1]"] {
            assert_eq!(origin(right).as_deref(), Ok(right.to_lowercase().as_str()));
        }
        for wrong in
            ["grafana.farm", "ftp://a", "https://a/b", "https://a:0", "https://a:b", "https://", "*", "null"]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn several_addresses_or_none_may_be_listened_on() {
        let several = values::addresses_or_off(&word("127.0.0.1:9090,[::1]:9090")).expect("two addresses");
        assert!(matches!(several, Switchable::On(addresses) if addresses.len() == 2));
        assert_eq!(values::addresses_or_off(&word(" off ")).expect("off"), Switchable::Off);
        let places = ["0.0.0.0:1", "127.0.0.1:1", "[::]:1", "127.0.0.1:0", "127.0.0.1:2"];
        let places = places.map(|text| text.parse::<SocketAddr>().expect("an address"));
        assert!(is_same_place(places[0], places[1]));
        assert!(!is_same_place(places[1], places[2]) && !is_same_place(places[1], places[4]));
        assert!(!is_same_place(places[3], places[3]), "the kernel chooses twice");
    }
}
