//! Worker names: what a miner calls itself becomes what the pool hears.
//!
//! A [`NameRule`] holds the operator's account and [`Template`]; a [`NameTable`] applies it and keeps different miners
//! apart, so that two names never become one by cleaning. Called at authorize only, hence the allocations.
//!
//! Names are the raw bytes between the JSON quotes, escapes included. A name made by a template holds nothing that JSON
//! would have to escape; a name left untouched is passed on exactly as it came.
//!
//! Not here: which names a session has authorised, and what the pool said to them.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::limits::{NAME_BYTES_MAX, NAME_PART_BYTES_MIN, UPSTREAM_NAME_BYTES_MAX, WORKER_BYTES_MAX};

/// What stands for a miner that gave no name at all, where a template needs one (btcpool uses the same word).
const NAMELESS: &str = "__default__";
/// Hex digits of the raw name's hash behind a `_`, tried in this order when a name is taken.
const SUFFIX_DIGITS: [usize; 3] = [4, 8, 16];
/// Room kept free for the longest suffix.
const SUFFIX_BYTES_MAX: usize = 1 + 16;

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
    fn miner_pieces_count(&self) -> usize {
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
            (Some(_), None) => Template::parse("{account}.{worker}")?,
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

    /// Whether names are passed on as they came.
    pub fn is_untouched(&self) -> bool {
        self.template.is_none()
    }

    /// The template filled in for `raw`, before any look at other miners' names.
    fn apply(&self, template: &Template, raw: &[u8]) -> String {
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

/// Why a miner's name has no upstream name. The miner's authorize is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The raw name is longer than [`NAME_BYTES_MAX`].
    #[error("worker name longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Every place in the table is held by a name in use.
    #[error("too many worker names in use")]
    TableFull,
    /// All suffixes of the name's hash are taken: nobody gets here by accident.
    #[error("worker name collides with others on purpose")]
    Collision,
}

/// Which raw name has which upstream name, across all sessions that share a [`NameRule`].
///
/// A raw name keeps its upstream name as long as the table has room, also while its miner is away. Of different raw names
/// that come out equal the later one gets `_` and hex digits of its hash. A template that does not name the miner (such as
/// `{account}` alone) puts all miners under one name on purpose, so there it does not.
///
/// Bounded: at `count_max` names the one that is unused for longest goes; when all are in use, a new one is refused.
///
/// Invariant: `upstream` holds exactly the upstream names of `names`; `unused` exactly those of `names` without users.
#[derive(Debug)]
pub struct NameTable {
    rule: NameRule,
    count_max: usize,
    names: BTreeMap<Box<[u8]>, Entry>,
    /// Upstream name → raw name.
    upstream: BTreeMap<Box<str>, Box<[u8]>>,
    /// When a name came out of use → raw name.
    unused: BTreeMap<u64, Box<[u8]>>,
    releases_count: u64,
}

#[derive(Debug)]
struct Entry {
    upstream: Box<str>,
    users_count: u32,
    /// Key in `unused`, meaningful while `users_count` is 0.
    released: u64,
}

impl NameTable {
    /// An empty table for at most `count_max` names; [`crate::limits::NAME_TABLE_COUNT_MAX`] unless there is a reason.
    pub fn new(rule: NameRule, count_max: usize) -> Self {
        Self {
            rule,
            count_max,
            names: BTreeMap::new(),
            upstream: BTreeMap::new(),
            unused: BTreeMap::new(),
            releases_count: 0,
        }
    }

    /// The upstream name for `raw`, and one more user of it. Each success wants one [`NameTable::release`].
    pub fn assign<'a>(&'a mut self, raw: &'a [u8]) -> Result<&'a [u8], NameError> {
        if raw.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if self.rule.is_untouched() {
            return Ok(raw);
        }
        if !self.names.contains_key(raw) {
            self.insert(raw)?;
        }
        let entry = self.names.get_mut(raw).ok_or(NameError::TableFull)?;
        if entry.users_count == 0 {
            self.unused.remove(&entry.released);
        }
        entry.users_count = entry.users_count.saturating_add(1);
        Ok(entry.upstream.as_bytes())
    }

    /// One user of `raw` less. The name stays known until its place is needed. Unknown names are ignored.
    pub fn release(&mut self, raw: &[u8]) {
        let Some(entry) = self.names.get_mut(raw) else { return };
        if entry.users_count == 0 {
            return;
        }
        entry.users_count -= 1;
        if entry.users_count == 0 {
            self.releases_count += 1;
            entry.released = self.releases_count;
            self.unused.insert(self.releases_count, raw.into());
        }
        self.check();
    }

    /// The rule it applies.
    pub fn rule(&self) -> &NameRule {
        &self.rule
    }

    /// Names known, in use or not.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Adds `raw`, unused, making room first.
    fn insert(&mut self, raw: &[u8]) -> Result<(), NameError> {
        if self.names.len() >= self.count_max {
            let (_, oldest) = self.unused.pop_first().ok_or(NameError::TableFull)?;
            if let Some(entry) = self.names.remove(&oldest) {
                // A shared name (see the type) may belong to another raw name by now.
                if self.upstream.get(&entry.upstream) == Some(&oldest) {
                    self.upstream.remove(&entry.upstream);
                }
            }
        }
        let upstream = self.free_name(raw)?;
        self.upstream.insert(upstream.clone(), raw.into());
        self.releases_count += 1;
        self.unused.insert(self.releases_count, raw.into());
        self.names.insert(raw.into(), Entry { upstream, users_count: 0, released: self.releases_count });
        self.check();
        Ok(())
    }

    /// The name by the rule, with a suffix if another raw name has it.
    fn free_name(&self, raw: &[u8]) -> Result<Box<str>, NameError> {
        let Some(template) = &self.rule.template else { return Err(NameError::Collision) };
        let name = self.rule.apply(template, raw);
        if template.miner_pieces_count() == 0 || !self.upstream.contains_key(name.as_str()) {
            return Ok(name.into());
        }
        let hash = hex_of_hash(raw);
        SUFFIX_DIGITS
            .iter()
            .filter_map(|&digits| Some(format!("{name}_{}", hash.get(..digits)?)))
            .find(|candidate| !self.upstream.contains_key(candidate.as_str()))
            .map(Into::into)
            .ok_or(NameError::Collision)
    }

    fn check(&self) {
        debug_assert!(self.names.len() <= self.count_max);
        debug_assert!(self.upstream.len() <= self.names.len());
        debug_assert!(self.unused.len() <= self.names.len());
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

fn hex_of_hash(raw: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    Sha256::digest(raw).iter().flat_map(|&b| [digit(b >> 4), digit(b)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::NAME_TABLE_COUNT_MAX;

    fn table(account: Option<&str>, template: Option<&str>) -> NameTable {
        let template = template.map(|t| Template::parse(t).unwrap());
        NameTable::new(NameRule::new(account.map(Into::into), template).unwrap(), NAME_TABLE_COUNT_MAX)
    }

    fn assigned(table: &mut NameTable, raw: &str) -> String {
        String::from_utf8(table.assign(raw.as_bytes()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn names_come_out_as_the_template_says() {
        let (account, name) = (Some("ACCOUNT"), Some("{account}.{name}"));
        for (account, template, raw, upstream) in [
            (account, name, "john.test", "ACCOUNT.john_test"),
            (account, None, "john.test", "ACCOUNT.test"),
            (account, None, "john", "ACCOUNT.john"),
            (account, None, "john.a.b", "ACCOUNT.a_b"),
            (account, None, ".rig", "ACCOUNT._rig"),
            (account, None, "john.", "ACCOUNT.john_"),
            (account, None, "", "ACCOUNT.__default__"),
            (account, None, "a.b\\\"c d", "ACCOUNT.b__c_d"),
            (account, None, "j.größe", "ACCOUNT.gr__e"),
            (account, None, "j.x-_9Z", "ACCOUNT.x-_9Z"),
            (account, Some("{account}"), "john.test", "ACCOUNT"),
            (None, Some("farm-{worker}/{name}"), "a.b", "farm-b/a_b"),
            (Some("me@home.org"), None, "a.b", "me@home.org.b"),
            (None, None, "any \\u0041 name ü.x", "any \\u0041 name ü.x"),
            (None, None, "", ""),
        ] {
            assert_eq!(assigned(&mut table(account, template), raw), upstream, "{template:?} {raw}");
        }
    }

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

    #[test]
    fn lengths_are_bounded_with_and_without_suffix() {
        let long = "x".repeat(NAME_BYTES_MAX);
        let mut worker = table(Some("A"), None);
        assert_eq!(assigned(&mut worker, &long), format!("A.{}", "x".repeat(WORKER_BYTES_MAX)));
        let mut name = table(Some(&"a".repeat(60)), Some("{account}.{name}"));
        let first = assigned(&mut name, &long);
        let second = assigned(&mut name, &"x".repeat(NAME_BYTES_MAX - 1));
        assert!(first.len() <= UPSTREAM_NAME_BYTES_MAX && second.len() <= UPSTREAM_NAME_BYTES_MAX);
        assert_eq!(second.len(), first.len() + 5);
        assert_eq!(name.assign("x".repeat(NAME_BYTES_MAX + 1).as_bytes()), Err(NameError::TooLong));
    }

    #[test]
    fn the_later_of_two_colliding_names_gets_digits_of_its_hash() {
        let mut table = table(Some("A"), None);
        assert_eq!(assigned(&mut table, "john.rig 1"), "A.rig_1");
        let suffix = &hex_of_hash(b"eve.rig_1")[..4];
        assert_eq!(assigned(&mut table, "eve.rig_1"), format!("A.rig_1_{suffix}"));
        assert_eq!(assigned(&mut table, "john.rig 1"), "A.rig_1", "the same miner, the same name");
        assert_eq!(assigned(&mut table, "eve.rig_1"), format!("A.rig_1_{suffix}"));
    }

    #[test]
    fn a_taken_suffix_grows_until_it_is_free_and_then_refuses() {
        let mut table = table(Some("A"), None);
        let hash = hex_of_hash(b"eve.rig");
        assigned(&mut table, "john.rig");
        for digits in SUFFIX_DIGITS {
            assert_eq!(assigned(&mut table, "eve.rig"), format!("A.rig_{}", &hash[..digits]));
            // Forget eve, and give her name to somebody whose cleaned name is just that.
            table.release(b"eve.rig");
            table.names.remove(b"eve.rig".as_slice());
            table.upstream.remove(format!("A.rig_{}", &hash[..digits]).as_str());
            table.unused.clear();
            assigned(&mut table, &format!("mallory.rig_{}", &hash[..digits]));
        }
        assert_eq!(table.assign(b"eve.rig"), Err(NameError::Collision));
    }

    #[test]
    fn a_name_without_the_miner_in_it_is_shared() {
        let mut table = table(Some("A"), Some("{account}.farm"));
        assert_eq!(assigned(&mut table, "x.1"), "A.farm");
        assert_eq!(assigned(&mut table, "x.2"), "A.farm");
    }

    #[test]
    fn a_full_table_forgets_the_name_unused_for_longest_and_no_name_in_use() {
        let rule = NameRule::new(Some("A".into()), None).unwrap();
        let mut table = NameTable::new(rule, 3);
        for raw in ["a", "b", "c"] {
            assigned(&mut table, raw);
        }
        assert_eq!(table.assign(b"d"), Err(NameError::TableFull));
        table.release(b"b");
        table.release(b"a");
        assigned(&mut table, "b");
        table.release(b"b");
        assert_eq!(
            assigned(&mut table, "d"),
            "A.d",
            "takes the place of a, which is unused for longer than b"
        );
        assert!(table.names.contains_key(b"b".as_slice()) && !table.names.contains_key(b"a".as_slice()));
        assert_eq!(table.count(), 3);
        assert_eq!((table.upstream.len(), table.unused.len()), (3, 1));
    }

    #[test]
    fn a_name_stays_in_use_until_its_last_user_leaves() {
        let rule = NameRule::new(Some("A".into()), None).unwrap();
        let mut table = NameTable::new(rule, 1);
        assigned(&mut table, "a");
        assigned(&mut table, "a");
        table.release(b"a");
        assert_eq!(table.assign(b"b"), Err(NameError::TableFull));
        table.release(b"a");
        table.release(b"a");
        table.release(b"never seen");
        assert_eq!(assigned(&mut table, "b"), "A.b");
    }
}
