//! `mining.notify`: what is remembered of a job, and how it is told to a miner that was switched.
//!
//! As long as a miner has its first pool, jobs pass as they are. Once it was told jobs of one connection and comes to
//! another, it is told ids of ours ([`Aliases`]), and its submits are translated back.

use crate::event::{Event, Oddity, Wire};
use crate::job::{self, Aliases, ChainFacts, JobEntry, JobKey, OurId};
use crate::message::{Message, Span};
use crate::moment::Moment;
use crate::rewrite::{Change, splice};
use crate::session::{Context, Session};

/// By which ids a miner is told jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum JobIds {
    /// It was told none yet.
    #[default]
    Untold,
    /// By those of its first pool, which is all it had.
    Theirs,
    /// By ours: it may submit for jobs of an earlier pool.
    Ours,
}

impl JobIds {
    /// The miner comes to another pool, or to another connection to the same one.
    pub fn at_another_pool(self) -> Self {
        match self {
            Self::Untold => Self::Untold,
            Self::Theirs | Self::Ours => Self::Ours,
        }
    }
}

impl Session {
    /// Remembers a job with the difficulty that goes with it, and its content if shares are checked here. Returns the id
    /// by which the miner is to know it, raw JSON, if that is not the pool's.
    fn job(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) -> Option<OurId> {
        let clean = job::is_clean(message) || self.wire(wire).clean_next;
        let upstream = self.wire_mut(wire);
        let first = !std::mem::replace(&mut upstream.had_job, true);
        cx.tell(Event::Job { pool: upstream.pool, clean, first, chain: ChainFacts::of(message) });
        if first {
            self.wait_until = Moment::NEVER;
        }
        if self.job_ids == JobIds::Untold {
            self.job_ids = JobIds::Theirs;
        }
        let raw = message.param(0);
        let (key, ours) = if self.job_ids == JobIds::Ours || Aliases::resembles(raw) {
            let (key, ours) = self.aliases.give(raw, |key| self.jobs.find(key).is_some());
            (key, Some(ours))
        } else if let Some(key) = JobKey::of_raw(raw) {
            (key, None)
        } else {
            cx.odd(Oddity::UnreadableJob);
            return None;
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

    /// Notes a job and passes it to the miner: as it is, as long as it has its first pool.
    #[inline]
    pub(super) fn pass_job(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) {
        self.wire_mut(wire).garbage_count = 0;
        match self.job(wire, message, cx) {
            None if !self.wire(wire).clean_next => self.pass_down(message.line, cx),
            ours => self.pass_changed_job(wire, message, ours.as_ref(), cx),
        }
    }

    /// Passes a job under an id of ours, if it has one, and the first one of a connection as clean.
    #[cold]
    fn pass_changed_job(
        &mut self,
        wire: Wire,
        message: &Message<'_>,
        ours: Option<&OurId>,
        cx: &mut Context<'_>,
    ) {
        let make_clean = std::mem::take(&mut self.wire_mut(wire).clean_next) && !job::is_clean(message);
        let id = message.params.items[0];
        let id_change = Change { span: id, bytes: ours.map_or(message.raw(id), OurId::as_bytes) };
        let flag = message.params.items[8];
        let end = message.params.whole.end.saturating_sub(1);
        let behind = Span { start: end, end };
        let flag_change = match message.params.count {
            _ if !make_clean => Change { span: behind, bytes: b"" },
            // A missing flag reads as false.
            8 => Change { span: behind, bytes: b",true" },
            _ if flag.is_present() => Change { span: flag, bytes: b"true" },
            _ => Change { span: behind, bytes: b"" },
        };
        let bytes_max = message.line.len() + id_change.bytes.len() + flag_change.bytes.len() + 1;
        self.pass_down_with(bytes_max, cx, |out| splice(out, message.line, [id_change, flag_change]));
    }

    /// Whether a share for the job that the miner calls so is for this one: keys may be the same where ids are not.
    #[inline]
    pub(super) fn is_meant(&self, entry: &JobEntry, raw: &[u8]) -> bool {
        if entry.renamed {
            self.aliases.theirs(raw).is_some()
        } else {
            !Aliases::resembles(raw) || self.job_ids != JobIds::Ours
        }
    }
}
