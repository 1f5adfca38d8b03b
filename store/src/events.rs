//! The way of audit events into the ledger, for whoever is no shard: commands of operators, changes of state, start and
//! stop.
//!
//! ```
//! # use std::time::Duration;
//! # use adit_store::clock::now_us;
//! # use adit_store::ledger::{Ledger, LedgerConfig};
//! # let directory = tempfile::tempdir()?;
//! # let config = LedgerConfig::new(directory.path().join("ledger.db"));
//! let (ledger, outboxes) = Ledger::start(&config, 1)?;
//! let events = ledger.events().clone(); // goes wherever something changes
//! events.enter(now_us(), "pool_state", "adit", "main", "up -> down: no byte for 120 s");
//! # drop(outboxes);
//! # assert!(ledger.stop(Duration::from_secs(10)).is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use crate::names::cut;
use crate::outbox::Outbox;
use crate::record::Note;

/// Takes events from any thread. Copies are the same. Not for shards, which never wait for a lock: they put
/// [`Note::Event`] into their own outbox.
#[derive(Clone, Debug)]
pub struct EventLog(Arc<Mutex<Option<Outbox>>>);

impl EventLog {
    pub(crate) fn new(outbox: Outbox) -> Self {
        Self(Arc::new(Mutex::new(Some(outbox))))
    }

    /// Enters an event. `kind` is a short fixed word, `actor` an operator's token name and address or `adit`, `subject`
    /// what it is about, `detail` why or what exactly; the last two may be empty. False if it is not in the ledger: there
    /// was no room, which is counted in a gap, or the ledger has stopped.
    pub fn enter(&self, at_us: u64, kind: &str, actor: &str, subject: &str, detail: &str) -> bool {
        let mut outbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(outbox) = outbox.as_mut() else { return false };
        let [kind, actor, subject, detail] = [kind, actor, subject, detail].map(|text| cut(text).into());
        let fits = outbox.note(Note::Event { at_us, kind, actor, subject, detail });
        outbox.tick();
        fits
    }

    /// Takes nothing more; what was entered is on its way.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
