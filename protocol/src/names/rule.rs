//! The operator's side: account and template, checked against each other.

use thiserror::Error;

use crate::limits::{NAME_PART_BYTES_MIN, UPSTREAM_NAME_BYTES_MAX, WORKER_BYTES_MAX};

/// The template where there is an account and no other.
pub const TEMPLATE_DEFAULT: &str = "{account}.{worker}";
/// What stands for a miner that gave no name at all, where a template needs one (btcpool uses the same word).
const NAMELESS: &str = "__default__";
/// Room kept free behind every name: `_` and digits that tell it from another.
pub(super) const SUFFIX_BYTES_MAX: usize = 1 + 16;

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Account,
    Name,
    Worker,
}

/// A pattern for names sent upstream, such as `{account}.{worker}`.
///
/// `{account}` is the operator's account, `{name}` the miner's whole name, `{worker}` what follows its first dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// Why a template or an account cannot be used. For the operator: each says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// Nothing in it.
    #[error(
        "the worker-name template is empty; it is made of {{account}}, {{name}}, {{worker}} and plain text"
    )]
    Empty,
    /// A `{` without its `}`, or the reverse.
    #[error(
        "unbalanced brace in worker-name template `{0}`; allowed are {{account}}, {{name}} and {{worker}}"
    )]
    Brace(String),
    /// A placeholder that does not exist.
    #[error(
        "unknown placeholder {{{0}}} in the worker-name template; allowed are {{account}}, {{name}} and {{worker}}"
    )]
    Placeholder(String),
    /// A character that must not be sent in a name.
    #[error(
        "character {1:?} in `{0}` cannot be part of a worker name; allowed are visible ASCII characters but \" and \\"
    )]
    Character(String, char),
    /// `{account}` is used, and there is none.
    #[error("the worker-name template uses {{account}}, but no account (user) is configured")]
    NoAccount,
    /// An account without a character.
    #[error("the account (user) is empty")]
    EmptyAccount,
    /// Account and text leave no room for the miner's part.
    #[error(
        "account and text of the worker-name template take {0} bytes; with the miner's part the name must stay within \
         {UPSTREAM_NAME_BYTES_MAX}"
    )]
    TooLong(usize),
}

impl Template {
    /// Reads a template. Every character outside the braces is sent as it stands.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let brace = || TemplateError::Brace(text.to_owned());
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (plain, tail) = rest.split_at(at);
            push_text(&mut pieces, plain)?;
            let (name, after) = tail.strip_prefix('{').and_then(|t| t.split_once('}')).ok_or_else(brace)?;
            pieces.push(match name {
                "account" => Piece::Account,
                "name" => Piece::Name,
                "worker" => Piece::Worker,
                _ if name.contains('{') => return Err(brace()),
                _ => return Err(TemplateError::Placeholder(name.to_owned())),
            });
            rest = after;
        }
        push_text(&mut pieces, rest)?;
        if pieces.is_empty() { Err(TemplateError::Empty) } else { Ok(Self { pieces }) }
    }

    fn uses_account(&self) -> bool {
        self.pieces.contains(&Piece::Account)
    }

    /// How often the miner's own name appears in it.
    pub(super) fn miner_pieces_count(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Name | Piece::Worker)).count()
    }
}

/// Account and template, checked against each other. Without either, names are left untouched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRule {
    account: String,
    template: Option<Template>,
    /// Longest cleaned piece of the miner's name, so that every result fits with its suffix.
    part_bytes_max: usize,
}

impl NameRule {
    /// An account alone means `{account}.{worker}`; a template alone must not use `{account}`; neither leaves names as they are.
    pub fn new(account: Option<String>, template: Option<Template>) -> Result<Self, TemplateError> {
        let template = match (&account, template) {
            (_, Some(template)) => template,
            (Some(_), None) => Template::parse(TEMPLATE_DEFAULT)?,
            (None, None) => return Ok(Self::default()),
        };
        if template.uses_account() && account.is_none() {
            return Err(TemplateError::NoAccount);
        }
        if account.as_deref() == Some("") {
            return Err(TemplateError::EmptyAccount);
        }
        let account = account.unwrap_or_default();
        check_text(&account)?;
        let fixed: usize = template
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len(),
                Piece::Account => account.len(),
                Piece::Name | Piece::Worker => 0,
            })
            .sum();
        let room = UPSTREAM_NAME_BYTES_MAX.checked_sub(fixed).ok_or(TemplateError::TooLong(fixed))?;
        let part_bytes_max = match template.miner_pieces_count() {
            0 => 0,
            pieces => room.saturating_sub(SUFFIX_BYTES_MAX) / pieces,
        };
        if template.miner_pieces_count() > 0 && part_bytes_max < NAME_PART_BYTES_MIN {
            return Err(TemplateError::TooLong(fixed));
        }
        Ok(Self { account, template: Some(template), part_bytes_max })
    }

    /// The operator's account, if there is one.
    pub fn account(&self) -> Option<&str> {
        (!self.account.is_empty()).then_some(&*self.account)
    }

    /// Whether names are passed on as they came.
    pub fn is_untouched(&self) -> bool {
        self.template.is_none()
    }

    /// The template; `None` where names are left untouched.
    pub(super) fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// The template filled in for `raw`, before any look at other miners' names.
    pub(super) fn apply(&self, template: &Template, raw: &[u8]) -> String {
        let mut name = String::with_capacity(UPSTREAM_NAME_BYTES_MAX);
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Account => name.push_str(&self.account),
                Piece::Name => push_clean(&mut name, raw, self.part_bytes_max),
                Piece::Worker => {
                    push_clean(&mut name, worker_part(raw), self.part_bytes_max.min(WORKER_BYTES_MAX));
                }
            }
        }
        name
    }
}

/// What follows the first dot; the whole name where that is empty, where nothing precedes the dot, or where there is none.
fn worker_part(raw: &[u8]) -> &[u8] {
    match raw.iter().position(|&b| b == b'.') {
        None | Some(0) => raw,
        Some(dot) => match raw.get(dot + 1..) {
            Some(worker) if !worker.is_empty() => worker,
            _ => raw,
        },
    }
}

/// Appends at most `bytes_max` characters of `part`, each one outside `[A-Za-z0-9_-]` as `_`.
fn push_clean(name: &mut String, part: &[u8], bytes_max: usize) {
    let part = if part.is_empty() { NAMELESS.as_bytes() } else { part };
    // One `_` per character, not per byte of UTF-8: continuation bytes count with the one they continue.
    let characters = part.iter().filter(|&&b| b & 0xC0 != 0x80);
    name.extend(
        characters
            .take(bytes_max)
            .map(|&b| if b.is_ascii_alphanumeric() || b == b'_' || b == b'-' { char::from(b) } else { '_' }),
    );
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), TemplateError> {
    check_text(text)?;
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

/// Refuses what would need an escape in JSON or confuse whoever reads the name.
fn check_text(text: &str) -> Result<(), TemplateError> {
    match text.chars().find(|&c| !c.is_ascii_graphic() || c == '"' || c == '\\') {
        Some(c) => Err(TemplateError::Character(text.to_owned(), c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_cannot_work_say_what_is_allowed() {
        let parse = |text| Template::parse(text).unwrap_err();
        assert_eq!(parse(""), TemplateError::Empty);
        assert_eq!(parse("{user}.x"), TemplateError::Placeholder("user".into()));
        assert_eq!(parse("{}"), TemplateError::Placeholder(String::new()));
        for text in ["{account", "account}", "{{account}}", "a}b{name}"] {
            assert_eq!(parse(text), TemplateError::Brace(text.into()), "{text}");
        }
        for (text, c) in
            [("a b", ' '), ("\"", '"'), ("\\", '\\'), ("é", 'é'), ("\n", '\n'), ("\u{7f}", '\u{7f}')]
        {
            assert_eq!(parse(text), TemplateError::Character(text.into(), c));
        }
        let message = parse("{user}").to_string();
        assert!(
            message.contains("{user}") && message.contains("{account}, {name} and {worker}"),
            "{message}"
        );
    }

    #[test]
    fn rules_that_cannot_work_are_refused() {
        let rule = |account: Option<&str>, template: &str| {
            NameRule::new(account.map(Into::into), Some(Template::parse(template).unwrap())).map(|_| ())
        };
        assert_eq!(rule(None, "{account}.{name}"), Err(TemplateError::NoAccount));
        assert_eq!(rule(Some(""), "{name}"), Err(TemplateError::EmptyAccount));
        assert_eq!(rule(Some("a\"b"), "{account}"), Err(TemplateError::Character("a\"b".into(), '"')));
        let longest = UPSTREAM_NAME_BYTES_MAX - SUFFIX_BYTES_MAX - NAME_PART_BYTES_MIN;
        assert_eq!(rule(Some(&"a".repeat(longest)), "{account}{name}"), Ok(()));
        assert_eq!(
            rule(Some(&"a".repeat(longest + 1)), "{account}{name}"),
            Err(TemplateError::TooLong(longest + 1))
        );
        assert_eq!(rule(Some(&"a".repeat(UPSTREAM_NAME_BYTES_MAX)), "{account}"), Ok(()));
        assert!(rule(Some(&"a".repeat(UPSTREAM_NAME_BYTES_MAX + 1)), "{account}").is_err());
    }
}
