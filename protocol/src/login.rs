//! A login that Adit makes itself on a wire: what it asked the pool, and what the pool said.
//!
//! State only: what is asked when stands in [`session`](crate::session). The pool's answers are kept as they came, since
//! the miner may be waiting for them: its own requests were parked when its pool went away.

use crate::event::MoveReason;
use crate::message::{Message, Span};
use crate::moment::Moment;
use crate::rewrite::{Change, splice};
use crate::upstream::Extranonce;

/// A request of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// `mining.configure`, with what the miner asked for.
    Configure,
    /// `mining.subscribe`
    Subscribe,
    /// `mining.extranonce.subscribe`
    ExtranonceSubscribe,
    /// `mining.authorize` of the name at this place of [`Login::names`].
    Authorize(u8),
}

/// A pool's answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    line: Box<[u8]>,
    id: Span,
    /// Whether it is a yes.
    pub accepted: bool,
}

impl Answer {
    /// Keeps the answer that this line is.
    pub fn keep(message: &Message<'_>, accepted: bool) -> Self {
        Self { line: message.line.into(), id: message.id, accepted }
    }

    /// Appends it under the miner's own id, as the answer to the miner's own request.
    pub fn write(&self, out: &mut Vec<u8>, miner_id: &[u8]) {
        let span =
            if miner_id.is_empty() { crate::rewrite::member_span(&self.line, self.id) } else { self.id };
        splice(out, &self.line, [Change { span, bytes: miner_id }]);
    }
}

/// How far one request of a login has come.
#[derive(Clone, Debug, Default)]
pub enum Step {
    /// The miner did not ask for it.
    #[default]
    Unasked,
    /// The pool has it.
    Asked,
    /// The pool answered.
    Answered(Answer),
    /// The pool did not answer in time, and need not.
    Silent,
}

impl Step {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether an answer is awaited.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Asked)
    }

    /// Whether the pool said yes.
    pub fn is_accepted(&self) -> bool {
        self.answer().is_some_and(|answer| answer.accepted)
    }
}

/// A name of the miner in a login.
#[derive(Clone, Debug)]
pub struct LoginName {
    /// Its index in [`Downstream`](crate::downstream::Downstream); `None` once it was forgotten there.
    pub index: Option<u8>,
    /// How far its authorize has come.
    pub step: Step,
}

/// Everything about one login.
#[derive(Clone, Debug)]
pub struct Login {
    /// What it is made for.
    pub why: MoveReason,
    /// When it was wanted.
    pub began: Moment,
    /// When it has taken too long. Never before the connection stands: that deadline is the owner's.
    pub until: Moment,
    /// Of `mining.configure`.
    pub configure: Step,
    /// Of `mining.subscribe`.
    pub subscribe: Step,
    /// The extranonce and the version mask in the answers to these two. The pool may have told others since.
    pub answered: (Option<Extranonce>, u32),
    /// Of `mining.extranonce.subscribe`.
    pub extranonce_subscribe: Step,
    /// Of the miner's names, in the order in which they were asked for. Grows only.
    pub names: Vec<LoginName>,
    /// The newest job, as the pool sent it; none while only one of an earlier extranonce came.
    pub job: Option<Box<[u8]>>,
    /// When the first job came.
    pub job_came: Moment,
    /// Whether the owner was told that all is there.
    pub told: bool,
}

impl Login {
    /// A login of which nothing is asked yet.
    pub fn new(why: MoveReason, began: Moment) -> Self {
        Self {
            why,
            began,
            until: Moment::NEVER,
            configure: Step::Unasked,
            subscribe: Step::Unasked,
            answered: (None, 0),
            extranonce_subscribe: Step::Unasked,
            names: Vec::new(),
            job: None,
            job_came: Moment::NEVER,
            told: false,
        }
    }

    /// Where one of its requests is noted.
    pub fn step_mut(&mut self, step: LoginStep) -> Option<&mut Step> {
        match step {
            LoginStep::Configure => Some(&mut self.configure),
            LoginStep::Subscribe => Some(&mut self.subscribe),
            LoginStep::ExtranonceSubscribe => Some(&mut self.extranonce_subscribe),
            LoginStep::Authorize(place) => self.names.get_mut(usize::from(place)).map(|name| &mut name.step),
        }
    }

    /// The step of the name with this index.
    pub fn name(&self, index: u8) -> Option<&Step> {
        self.names.iter().rev().find(|name| name.index == Some(index)).map(|name| &name.step)
    }

    /// The name was forgotten; its index may become another's.
    pub fn forget_name(&mut self, index: u8) {
        for name in self.names.iter_mut().filter(|name| name.index == Some(index)) {
            name.index = None;
        }
    }

    /// Whether the pool answered all that matters and gave what the miner needs to go on.
    pub fn is_complete(&self) -> bool {
        let is_open = self.configure.is_open()
            || self.subscribe.is_open()
            || self.names.iter().any(|name| name.step.is_open());
        // Many pools give no job before they accepted a name, and none if they refused all.
        let wants_job = self.names.iter().any(|name| name.step.is_accepted());
        !is_open && (!wants_job || self.job.is_some())
    }
}
