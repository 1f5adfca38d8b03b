//! Reloads the configuration of a running Adit: on SIGHUP, when the file changed, and when an operator asks.
//!
//! What can change live does ([`crate::pools::reload`] says what), the rest is told and waits for a restart. After an error in
//! the file nothing changes. Not here: how the control of pools and the shards go by what is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use thiserror::Error;

use crate::config::{ConfigErrors, Loaded, Watch};
use crate::pools::catalogue::CatalogueError;
use crate::pools::control::PoolsPublished;
use crate::pools::reload::Reload;

/// The control of pools answers at once; it may be starting look-ups for many new pools.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

/// The configuration of a running Adit.
#[derive(Clone, Debug)]
pub enum Configured {
    /// Made by the program itself.
    Fixed(&'static str),
    /// Loaded, and loaded anew.
    Loaded(Arc<Reloader>),
}

/// Reloads. Whoever asks waits for whoever asked before.
#[derive(Debug)]
pub struct Reloader {
    watch: Mutex<Watch>,
    pools: PoolsPublished,
    /// The configuration as text, and when it was loaded, as Unix time.
    text: Mutex<(String, u64)>,
    applied: AtomicU64,
    failed: AtomicU64,
}

/// Why nothing changed.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// The configuration has mistakes.
    #[error("the configuration is not reloaded:\n{0}")]
    Config(#[from] ConfigErrors),
    /// The pools cannot be had.
    #[error("the configuration is not reloaded: {0}")]
    Pools(#[from] CatalogueError),
    /// Nobody is there to do it.
    #[error("the configuration is not reloaded: the control of pools does not answer")]
    NoAnswer,
}

impl Reloader {
    /// Reloads what `watch` watches into these pools. `toml` is what was loaded at the start.
    pub fn new(watch: Watch, pools: PoolsPublished, toml: String) -> Self {
        let (applied, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { watch: Mutex::new(watch), pools, text: Mutex::new((toml, unix_ms())), applied, failed }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<String> {
        self.watch.lock().file().map(|path| path.display().to_string())
    }

    /// The configuration as it was loaded last, secrets masked, and when. What waits for a restart stands before it.
    pub fn text(&self) -> (String, u64) {
        self.text.lock().clone()
    }

    /// Reloads, and logs what became of it. `why` is who asked.
    pub fn reload(&self, why: &str) -> Result<Reload, ReloadError> {
        let mut watch = self.watch.lock();
        let loaded = watch.reload();
        self.apply(&mut watch, loaded, why)
    }

    /// Reloads if the file changed since it was loaded last.
    pub fn look(&self) {
        let mut watch = self.watch.lock();
        if let Some(loaded) = watch.look() {
            // What came of it is in the log; nobody asked.
            let _ = self.apply(&mut watch, loaded, "the file changed");
        }
    }

    /// How often what was loaded was applied, and how often it was not.
    pub fn counts(&self) -> (u64, u64) {
        (self.applied.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    fn apply(
        &self,
        watch: &mut Watch,
        loaded: Result<Loaded, ConfigErrors>,
        why: &str,
    ) -> Result<Reload, ReloadError> {
        let outcome = loaded.map_err(ReloadError::from).and_then(|Loaded { reload, toml }| {
            let settings = Arc::new(reload.settings.clone());
            self.pools.reload(settings, CONTROL_PATIENCE).ok_or(ReloadError::NoAnswer)??;
            let waiting: String =
                reload.refused.iter().flat_map(|refused| [format!("# {refused}\n")]).collect();
            *self.text.lock() = (waiting + &toml, unix_ms());
            Ok(reload)
        });
        match &outcome {
            Ok(reload) => {
                watch.applied(reload);
                self.applied.fetch_add(1, Ordering::Relaxed);
                log::info!("{why}: the configuration is reloaded; changes: {}", reload.changes.len());
                reload.changes.iter().for_each(|change| log::info!("{change}"));
                reload.refused.iter().for_each(|refused| log::warn!("{refused}"));
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let error = error.to_string();
                error.lines().for_each(|line| log::error!("{why}: {line}"));
            }
        }
        outcome
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
