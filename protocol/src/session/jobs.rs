//! `mining.notify`: what is remembered of a job, and how it is told to a miner that was switched.
//!
//! Before the first switch jobs pass as they are. After it their ids must not be taken for those of an earlier pool: two
//! pools do use the same ids. An id that an earlier job still has, or that is not tracked, is replaced by one of ours, and
//! submits are translated back.

use crate::event::{Event, Oddity, Wire};
use crate::job::{self, ChainFacts, JobEntry, JobKey};
use crate::message::{Message, Span};
use crate::rewrite::{Change, splice};
use crate::session::{Context, Session};

/// A job that the miner knows by an id of ours.
#[derive(Debug)]
pub(super) struct Renamed {
    /// The key of our id.
    key: JobKey,
    /// The pool's id, raw JSON.
    theirs: Box<[u8]>,
}

impl Session {
    /// Remembers a job with the difficulty that goes with it, and its content if shares are checked here. Returns the id
    /// by which the miner is to know it, raw JSON, if that is not the pool's.
    pub(super) fn job(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) -> Option<String> {
        let clean = job::is_clean(message) || self.wire(wire).clean_next;
        let upstream = self.wire_mut(wire);
        let first = !std::mem::replace(&mut upstream.had_job, true);
        cx.tell(Event::Job { pool: upstream.pool, clean, first, chain: ChainFacts::of(message) });
        let (key, ours) = match JobKey::of_raw(message.param(0)) {
            Some(key) if !self.switched || self.is_unmistakable(wire, key, message.param(0)) => (key, None),
            None if !self.switched => {
                cx.odd(Oddity::UnreadableJob);
                return None;
            }
            _ => self.rename(message.param(0)),
        };
        let mut content = None;
        if cx.shared.settings.share_check {
            match cx.shared.jobs.keep(message) {
                Ok(kept) => content = kept,
                Err(_) => cx.odd(Oddity::UnreadableJob),
            }
        }
        let upstream = self.wire(wire);
        let entry = JobEntry {
            key,
            generation: upstream.generation,
            wire: Some(wire),
            renamed: ours.is_some(),
            is_stale: false,
            content,
            difficulty: upstream.difficulty,
            received: cx.now,
        };
        self.jobs.push(entry, clean, &mut cx.shared.jobs);
        ours
    }

    /// Passes a job to a miner that was switched: under an id that no earlier job has, the first one as clean.
    #[cold]
    pub(super) fn job_after_switch(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) {
        let ours = self.job(wire, message, cx);
        let make_clean = std::mem::take(&mut self.wire_mut(wire).clean_next) && !job::is_clean(message);
        let mut bytes = Vec::with_capacity(message.line.len() + 32);
        let id = message.params.items[0];
        let id_change = Change { span: id, bytes: ours.as_deref().map_or(message.raw(id), str::as_bytes) };
        let flag = message.params.items[8];
        if !make_clean {
            splice(&mut bytes, message.line, [id_change]);
        } else if flag.is_present() {
            splice(&mut bytes, message.line, [id_change, Change { span: flag, bytes: b"true" }]);
        } else {
            // A missing flag reads as false.
            let end = message.params.whole.end.saturating_sub(1);
            let bytes_of_flag = if message.params.count == 8 { &b",true"[..] } else { b"" };
            let behind = Change { span: Span { start: end, end }, bytes: bytes_of_flag };
            splice(&mut bytes, message.line, [id_change, behind]);
        }
        bytes.pop();
        self.pass_down(&bytes, cx);
    }

    /// Whether submits for a job with this id can only be meant for it.
    fn is_unmistakable(&self, wire: Wire, key: JobKey, raw: &[u8]) -> bool {
        // A miner may write an id with escapes in another way than the pool.
        !raw.contains(&b'\\')
            && self.jobs.find(key).is_none_or(|known| known.wire == Some(wire) && !known.renamed)
    }

    /// An id of ours for a job of the pool's.
    fn rename(&mut self, theirs: &[u8]) -> (JobKey, Option<String>) {
        let Self { jobs, renamed, .. } = self;
        renamed.retain(|known| jobs.find(known.key).is_some_and(|job| job.renamed));
        loop {
            self.renames_count = self.renames_count.wrapping_add(1);
            let id = format!("a{:x}", self.renames_count);
            let key = JobKey::of(id.as_bytes());
            if self.jobs.find(key).is_none() {
                self.renamed.push(Renamed { key, theirs: theirs.into() });
                return (key, Some(format!("\"{id}\"")));
            }
        }
    }

    /// The pool's own id, raw JSON, of a job that the miner knows by one of ours.
    #[cold]
    pub(super) fn their_id(&self, key: JobKey) -> Option<&[u8]> {
        self.renamed.iter().rev().find(|renamed| renamed.key == key).map(|renamed| &*renamed.theirs)
    }
}
