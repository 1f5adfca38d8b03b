//! Takes out of a report what nobody outside should read: passwords and accounts that are configured, tokens, credentials in
//! URLs, and addresses.
//!
//! The log holds no password and no token by design; this is the second net, since a report leaves the machine. Names of
//! workers are taken out as far as they carry a configured account: one that only a miner knows cannot be told from a word.

use std::net::{IpAddr, SocketAddr};

use crate::settings::{Secret, Settings};

/// Shorter texts are too common to be taken out wherever they stand.
const SECRET_BYTES_MIN: usize = 4;
/// Words behind which a value follows that is not told.
const NAMES: [&str; 7] = ["password", "passwd", "pass", "token", "secret", "authorization", "bearer"];
/// Stands for an address.
const ADDRESS: &str = "[address]";
/// What tokens of the admin side begin with.
const TOKEN_PREFIX: &str = "adit_";
/// Hex digits from which on a word is taken for a secret.
const HEX_CHARS_MIN: usize = 32;

/// Knows what is secret in this configuration.
#[derive(Clone, Debug, Default)]
pub struct Scrubber {
    secrets: Vec<Secret>,
}

impl Scrubber {
    /// Of the accounts and passwords in `settings`.
    pub fn of(settings: &Settings) -> Self {
        let passwords = settings.pools.iter().filter_map(|pool| pool.password.clone());
        let accounts = settings.pools.iter().filter_map(|pool| pool.name_rule.account().map(Secret::new));
        let mut secrets: Vec<Secret> =
            passwords.chain(accounts).filter(|secret| secret.expose().len() >= SECRET_BYTES_MIN).collect();
        // A secret may be part of another one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// The text without what is secret in it.
    pub fn scrub(&self, text: &str) -> String {
        let text = self
            .secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.expose(), Secret::MASK));
        let mut clean = String::with_capacity(text.len());
        let mut hides_next = false;
        for piece in pieces(&text) {
            match piece {
                Piece::Between(between) => {
                    // `password=x` and `password: "x"` go on; the end of a sentence does not.
                    hides_next &= between.chars().all(|c| matches!(c, ' ' | ':' | '=' | '"' | '\''));
                    clean.push_str(between);
                }
                Piece::Word(word) => {
                    let is_name = NAMES.iter().any(|name| word.eq_ignore_ascii_case(name));
                    if hides_next && !is_name {
                        clean.push_str(Secret::MASK);
                    } else {
                        clean.push_str(&without_secret(word));
                    }
                    hides_next = is_name;
                }
            }
        }
        clean
    }
}

enum Piece<'a> {
    Word(&'a str),
    Between(&'a str),
}

/// The text as words and what stands between them, in turn.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let separates = |c: char| c.is_whitespace() || "\"'`,;=()<>{}".contains(c);
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_between = separates(first) || first == ':';
        let end = if is_between {
            rest.find(|c| !separates(c) && c != ':')
        } else {
            // A colon ends a word only where nothing follows it directly: addresses and URLs have colons inside.
            rest.char_indices()
                .find(|&(at, c)| separates(c) || (c == ':' && ends_word(rest, at)))
                .map(|(at, _)| at)
        };
        let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(if is_between { Piece::Between(piece) } else { Piece::Word(piece) })
    })
}

/// Whether the colon at `at` has nothing of the same word behind it, or what stands before it is the name of a secret.
fn ends_word(text: &str, at: usize) -> bool {
    let (before, behind) = text.split_at(at);
    let is_name = NAMES.iter().any(|name| before.eq_ignore_ascii_case(name));
    is_name || behind.chars().nth(1).is_none_or(char::is_whitespace)
}

fn without_secret(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        return format!("{scheme}://{}@{}", Secret::MASK, without_address(host));
    }
    let hex_count = word.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_hex = hex_count >= HEX_CHARS_MIN && hex_count == word.len();
    if word.starts_with(TOKEN_PREFIX) && word.len() >= TOKEN_PREFIX.len() + HEX_CHARS_MIN || is_hex {
        return Secret::MASK.to_owned();
    }
    without_address(word)
}

/// A word that is an address, with or without a port, with or without brackets, a scheme or a path, without it.
fn without_address(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        return format!("{scheme}://{}", without_address(rest));
    }
    let (head, path) = word.find('/').map_or((word, ""), |at| word.split_at(at));
    let bare = head.trim_end_matches(['.', ':', '!', '?']);
    let tail = head.get(bare.len()..).unwrap_or_default();
    let inner = bare.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<SocketAddr>().is_ok() || inner.parse::<IpAddr>().is_ok();
    if is_address { format!("{ADDRESS}{tail}{path}") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PoolSettings;

    fn scrubber() -> Scrubber {
        let mut pool = PoolSettings::transparent("pool.example", 3333);
        pool.password = Some(Secret::new("hunter2"));
        pool.name_rule = adit_protocol::names::NameRule::new(Some("bc1qfarm".into()), None).expect("a rule");
        let mut short = PoolSettings::transparent("pool.example", 3334);
        short.password = Some(Secret::new("x"));
        let mut settings = Settings::with_pool(pool);
        settings.pools.push(short);
        Scrubber::of(&settings)
    }

    #[test]
    fn what_is_secret_is_taken_out_and_the_rest_stays() {
        for (text, clean) in [
            ("an example: max 5 of x", "an example: max 5 of x"),
            ("bc1qfarm.rig7 said hunter2", "***.rig7 said ***"),
            ("password=abc token: \"def\", then", "password=*** token: \"***\", then"),
            ("the password is wrong", "the password *** wrong"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("at stratum+tcp://me:pw@pool.example:3333/x", "at stratum+tcp://***@pool.example:3333/x"),
            ("http://me:pw@10.0.0.5:80/x", "http://***@[address]/x"),
            ("http://10.0.0.5:80/x", "http://[address]/x"),
            ("miner 192.168.1.20:51234: gone", "miner [address]: gone"),
            ("from [2001:db8::1]:3333, or 2001:db8::2.", "from [address], or [address]."),
            ("version 0.1.0 at 12:30:01", "version 0.1.0 at 12:30:01"),
            ("src/shard/plane.rs:120:5: index", "src/shard/plane.rs:120:5: index"),
            ("adit_0123456789abcdef0123456789abcdef!", "***"),
            ("0123456789abcdef0123456789abcdef", "***"),
        ] {
            assert_eq!(scrubber().scrub(text), clean, "{text}");
        }
    }

    #[test]
    fn any_text_can_be_scrubbed() {
        for text in
            ["", ":", "://", "@", "a://@", "ä: ö:ü", "[", "[]:", "password", "password:", ":::", "\u{0}\n\t"]
        {
            let clean = scrubber().scrub(text);
            assert!(clean.len() <= text.len() + 3, "{text} {clean}");
        }
    }
}
