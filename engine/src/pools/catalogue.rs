//! Which pools there are, under which numbers: what the configuration says, and what runs for each pool (its look-ups, its
//! key in the ledger).
//!
//! A catalogue never changes. A reload makes a new one out of the old: a pool that is the same keeps its number and what runs
//! for it, a new one gets the next number, and a number is never given twice, so that what still carries an old one
//! cannot mean another pool.

use std::sync::Arc;
use std::time::Duration;

use adit_protocol::limits::POOLS_COUNT_MAX;
use adit_protocol::pool::{Deadlines, PoolId, Terms, TermsTable};
use adit_store::names::Names;
use adit_store::record::PoolKey;
use thiserror::Error;

use super::plan::Plan;
use super::routes::Routes;
use super::settings::PoolSettings;
use crate::resolver::{PoolAddresses, Resolver};
use crate::settings::Settings;

/// Why there is no catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// Every number was given to a pool once.
    #[error("reloads have brought more than {max} pools since the start; restart Adit", max = POOLS_COUNT_MAX - 1)]
    NumbersUsedUp,
    /// A thread that looks up names did not start.
    #[error("pool {0}: {1}")]
    Resolver(String, #[source] std::io::Error),
}

/// A pool in force.
#[derive(Debug)]
pub struct PoolEntry {
    /// Its number in this run.
    pub id: PoolId,
    /// What the operator said about it.
    pub settings: PoolSettings,
    /// Its key in the ledger.
    pub key: PoolKey,
    /// Number of its group in this catalogue.
    group: Option<usize>,
    /// Ends with the last catalogue that has the pool.
    resolver: Arc<Resolver>,
}

impl PoolEntry {
    /// Where it is.
    pub fn addresses(&self) -> &PoolAddresses {
        self.resolver.addresses()
    }

    /// How sessions deal with it.
    pub fn terms(&self) -> Terms {
        let timeouts = &self.settings.timeouts;
        Terms {
            deadlines: Deadlines {
                handshake_reply_ms: ms(timeouts.handshake_reply_ms),
                submit_reply_ms: ms(timeouts.submit_reply_ms),
                silence_ms: ms(timeouts.silence_ms),
                first_job_ms: ms(timeouts.first_job_ms),
            },
            password: self.settings.password.as_ref().map(|password| json_text(password.expose())),
            host: Some(self.settings.host.as_str().into()),
        }
    }
}

/// All pools in force.
#[derive(Debug)]
pub struct Catalogue {
    /// By number; a number without a pool had one before a reload, or is 0.
    entries: Vec<Option<Arc<PoolEntry>>>,
    plan: Plan<PoolId>,
    routes: Routes,
    /// Whether a miner's name has a say in its pool.
    names_matter: bool,
    /// What the operator said about everything.
    settings: Arc<Settings>,
}

impl Catalogue {
    /// The catalogue for `settings`, after `before`.
    pub fn new(
        settings: Arc<Settings>,
        before: Option<&Self>,
        names: &Names,
    ) -> Result<Self, CatalogueError> {
        let old = |pool: &PoolSettings| before?.pools().find(|entry| is_same(&entry.settings, pool));
        let numbers_used = before.map_or(1, |before| before.entries.len());
        let mut entries: Vec<Option<Arc<PoolEntry>>> = vec![None; numbers_used];
        let refresh = Duration::from_millis(settings.timeouts.resolve_refresh_ms);
        for pool in &settings.pools {
            let (id, resolver) = match old(pool) {
                Some(old) => (old.id, old.resolver.clone()),
                None if entries.len() >= POOLS_COUNT_MAX => return Err(CatalogueError::NumbersUsedUp),
                None => {
                    let resolver = Resolver::start(&pool.host, pool.port, refresh)
                        .map_err(|error| CatalogueError::Resolver(pool.name.clone(), error))?;
                    entries.push(None);
                    (PoolId(entries.len() as u16 - 1), Arc::new(resolver))
                }
            };
            let group = settings.groups.iter().position(|group| group.name == pool.group);
            let entry =
                PoolEntry { id, settings: pool.clone(), key: names.pool(&pool.name), group, resolver };
            if let Some(place) = entries.get_mut(usize::from(id.0)) {
                *place = Some(Arc::new(entry));
            }
        }
        let pools = entries.iter().flatten().map(|entry| (entry.id, &entry.settings));
        let plan = Plan::new(&settings.groups, pools);
        let names_matter =
            plan.shares_by_weight() || settings.routes.iter().any(|route| route.worker.is_some());
        Ok(Self { plan, routes: Routes::new(&settings), names_matter, entries, settings })
    }

    /// The settings that it was made from.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Which pool of a group a miner gets.
    pub fn plan(&self) -> &Plan<PoolId> {
        &self.plan
    }

    /// Which group a miner gets.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The number of a pool's group. `None` for a pool that is not configured any more.
    pub fn group_of(&self, pool: PoolId) -> Option<usize> {
        self.get(pool)?.group
    }

    /// Whether a miner's name has a say in which pool it gets.
    pub fn names_matter(&self) -> bool {
        self.names_matter
    }

    /// Numbers given so far, those of pools that are gone included.
    pub fn numbers_count(&self) -> usize {
        self.entries.len()
    }

    /// The pool of a number.
    pub fn get(&self, id: PoolId) -> Option<&Arc<PoolEntry>> {
        self.entries.get(usize::from(id.0))?.as_ref()
    }

    /// The pool of a name.
    pub fn named(&self, name: &str) -> Option<&Arc<PoolEntry>> {
        self.pools().find(|entry| entry.settings.name == name)
    }

    /// All of them, in the order of their numbers.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<PoolEntry>> {
        self.entries.iter().flatten()
    }

    /// The terms of all of them.
    pub fn terms(&self) -> TermsTable {
        let mut table = TermsTable::default();
        self.pools().for_each(|entry| table.set(entry.id, entry.terms()));
        table
    }
}

/// The ledger's keys of pools, by their numbers. A pool that a reload took away keeps its own: shares may still end there.
#[derive(Clone, Debug, Default)]
pub struct PoolKeys(Vec<PoolKey>);

impl PoolKeys {
    /// Learns those of the pools in force.
    pub fn learn(&mut self, catalogue: &Catalogue) {
        for entry in catalogue.pools() {
            let index = usize::from(entry.id.0);
            if self.0.len() <= index {
                self.0.resize(index + 1, PoolKey::NONE);
            }
            if let Some(key) = self.0.get_mut(index) {
                *key = entry.key;
            }
        }
    }

    /// The key of a pool.
    #[inline]
    pub fn of(&self, pool: PoolId) -> PoolKey {
        self.0.get(usize::from(pool.0)).copied().unwrap_or(PoolKey::NONE)
    }
}

/// Whether a connection to one is a connection to the other: the same place, and the same name and account there.
fn is_same(one: &PoolSettings, other: &PoolSettings) -> bool {
    one.name == other.name
        && one.host == other.host
        && one.port == other.port
        && one.account == other.account
        && one.password == other.password
        && one.name_rule == other.name_rule
}

/// Milliseconds as sessions keep them: 49 days at most.
fn ms(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// Text as it stands between the quotes of a JSON string.
pub fn json_text(text: &str) -> Box<str> {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, port: u16) -> PoolSettings {
        PoolSettings { name: name.to_owned(), ..PoolSettings::transparent("127.0.0.1", port) }
    }

    fn settings(pools: &[PoolSettings]) -> Arc<Settings> {
        let mut settings = Settings::with_pool(pools[0].clone());
        settings.pools = pools.to_vec();
        Arc::new(settings)
    }

    fn numbers(catalogue: &Catalogue) -> Vec<(&str, u16)> {
        catalogue.pools().map(|entry| (&*entry.settings.name, entry.id.0)).collect()
    }

    #[test]
    fn a_pool_keeps_its_number_and_a_changed_one_is_another() {
        let names = Names::default();
        let (a, b) = (pool("a", 1), pool("b", 2));
        let first = Catalogue::new(settings(&[a.clone(), b.clone()]), None, &names).unwrap();
        assert_eq!(numbers(&first), [("a", 1), ("b", 2)]);
        let heavier = PoolSettings { weight: 5, ..b.clone() };
        let second = Catalogue::new(settings(&[heavier, pool("a", 9)]), Some(&first), &names).unwrap();
        assert_eq!(numbers(&second), [("b", 2), ("a", 3)]);
        assert_eq!(second.get(PoolId(2)).unwrap().settings.weight, 5);
        assert!(second.get(PoolId(1)).is_none() && second.get(PoolId::NONE).is_none());
        assert_eq!(
            second.named("a").unwrap().key,
            first.named("a").unwrap().key,
            "the same name in the ledger"
        );
        let third = Catalogue::new(settings(&[a, b]), Some(&second), &names).unwrap();
        assert_eq!(numbers(&third), [("b", 2), ("a", 4)], "no number is given twice");
    }

    #[test]
    fn numbers_run_out_at_the_bound() {
        let names = Names::default();
        let mut before = Catalogue::new(settings(&[pool("a", 1)]), None, &names).unwrap();
        before.entries.resize(POOLS_COUNT_MAX, None);
        let refused = Catalogue::new(settings(&[pool("a", 1), pool("b", 2)]), Some(&before), &names);
        assert!(matches!(refused, Err(CatalogueError::NumbersUsedUp)));
        assert!(Catalogue::new(settings(&[pool("a", 1)]), Some(&before), &names).is_ok());
    }

    #[test]
    fn a_password_is_written_as_json_wants_it() {
        assert_eq!(&*json_text("x"), "x");
        assert_eq!(&*json_text("a\"b\\c\n"), r#"a\"b\\c\n"#);
    }
}
