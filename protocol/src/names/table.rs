//! The names in use and lately in use, across all sessions that share a rule.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::NameRule;
use super::rule::SUFFIX_BYTES_MAX;
use crate::hex;
use crate::limits::NAME_BYTES_MAX;

/// Hex digits of the raw name's hash behind a `_`, tried in this order when a name is taken.
const SUFFIX_DIGITS: [usize; 3] = [4, 8, SUFFIX_BYTES_MAX - 1];

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
        let Some(template) = self.rule.template() else { return Err(NameError::Collision) };
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

fn hex_of_hash(raw: &[u8]) -> String {
    hex::encode(&Sha256::digest(raw))
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;
    use crate::limits::{NAME_TABLE_COUNT_MAX, UPSTREAM_NAME_BYTES_MAX, WORKER_BYTES_MAX};
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn different_miners_never_share_a_name_and_the_same_one_keeps_it(
            raws in prop::collection::vec("[ab._ ]{0,4}|.{0,40}", 1..40),
            template in prop::sample::select(vec!["{account}.{worker}", "{name}", "x-{worker}{name}"]),
        ) {
            let mut table = table(Some("A"), Some(template));
            let upstream: Vec<String> = raws.iter().map(|raw| assigned(&mut table, raw)).collect();
            for (raw, name) in raws.iter().zip(&upstream) {
                prop_assert_eq!(&assigned(&mut table, raw), name);
                prop_assert!(name.len() <= UPSTREAM_NAME_BYTES_MAX);
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{}", name);
            }
            for (a, name_a) in raws.iter().zip(&upstream) {
                for (b, name_b) in raws.iter().zip(&upstream) {
                    prop_assert_eq!(a == b, name_a == name_b, "{:?} {:?}", a, b);
                }
            }
        }
    }
}
