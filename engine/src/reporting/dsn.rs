//! Where reports go, as Sentry writes it: `http://KEY@HOST[:PORT]/[PATH/]PROJECT`.

use thiserror::Error;

use crate::settings::Secret;

/// The port where none is given.
const PORT_DEFAULT: u16 = 80;

/// A DSN taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    /// What lets reports in.
    pub key: Secret,
    /// Host without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Where envelopes go.
    pub path: String,
}

/// Why a text is no DSN that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DsnError {
    /// There is no TLS here yet.
    #[error("reports go over plain HTTP only, to a relay in your own network")]
    Tls,
    /// Something else than a URL.
    #[error("it is no URL with http://")]
    Scheme,
    /// Nothing before the `@`, or characters that no key has.
    #[error("there is no key before the @")]
    Key,
    /// No host, or a port that is none.
    #[error("there is no host with a port from 1 to 65535")]
    Host,
    /// No project behind the last slash.
    #[error("there is no project's number behind the last slash")]
    Project,
}

impl Dsn {
    /// Takes it apart.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        if text.starts_with("https://") {
            return Err(DsnError::Tls);
        }
        let rest = text.strip_prefix("http://").ok_or(DsnError::Scheme)?;
        let (key, rest) = rest.split_once('@').ok_or(DsnError::Key)?;
        // Old DSNs have a second, secret key that no server asks for any more.
        let key = key.split(':').next().unwrap_or_default();
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(DsnError::Key);
        }
        let (authority, path) = rest.split_once('/').ok_or(DsnError::Project)?;
        let (host, port) = host_and_port(authority).ok_or(DsnError::Host)?;
        let (prefix, project) = path.rsplit_once('/').unwrap_or(("", path));
        if project.is_empty() || !project.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DsnError::Project);
        }
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if !prefix.bytes().all(is_plain) {
            return Err(DsnError::Project);
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let path = format!("{prefix}/api/{project}/envelope/");
        Ok(Self { key: Secret::new(key), host: host.to_owned(), port, path })
    }

    /// As it stands in the header Host.
    pub fn authority(&self) -> String {
        match (self.host.contains(':'), self.port) {
            (true, port) => format!("[{}]:{port}", self.host),
            (false, port) => format!("{}:{port}", self.host),
        }
    }
}

fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    let port = port.map_or(Ok(PORT_DEFAULT), str::parse).ok().filter(|&port| port > 0)?;
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_is_taken_apart() {
        for (text, authority, path) in [
            ("http://abc123@sentry.lan/7", "sentry.lan:80", "/api/7/envelope/"),
            ("http://abc123:old@10.0.0.5:9000/7", "10.0.0.5:9000", "/api/7/envelope/"),
            ("http://abc123@[::1]:9000/deep/er/42", "[::1]:9000", "/deep/er/api/42/envelope/"),
        ] {
            let dsn = Dsn::parse(text).expect(text);
            assert_eq!((dsn.authority().as_str(), dsn.path.as_str()), (authority, path));
            assert_eq!(dsn.key, Secret::new("abc123"));
            assert!(!format!("{dsn:?}").contains("abc123"));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, error) in [
            ("https://abc@o1.ingest.sentry.io/7", DsnError::Tls),
            ("abc@sentry.lan/7", DsnError::Scheme),
            ("http://sentry.lan/7", DsnError::Key),
            ("http://@sentry.lan/7", DsnError::Key),
            ("http://a\r\nb@sentry.lan/7", DsnError::Key),
            ("http://abc@sentry.lan", DsnError::Project),
            ("http://abc@sentry.lan/", DsnError::Project),
            ("http://abc@sentry.lan/x y/7", DsnError::Project),
            ("http://abc@:80/7", DsnError::Host),
            ("http://abc@sentry.lan:0/7", DsnError::Host),
            ("http://abc@sentry lan/7", DsnError::Host),
        ] {
            assert_eq!(Dsn::parse(text), Err(error), "{text}");
        }
    }
}
