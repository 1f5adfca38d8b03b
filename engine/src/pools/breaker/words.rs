//! The words of a breaker: states, what is reported to it, and why a state was entered.

use std::fmt;

use adit_protocol::moment::Moment;

/// How a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Usable, and nothing was wrong lately.
    Up,
    /// Usable, and something was wrong lately.
    Degraded,
    /// Not usable, and left alone.
    Down {
        /// Until then.
        until: Moment,
    },
    /// Not usable; a probe is on its way.
    HalfOpen {
        /// The probe must have told something by then.
        until: Moment,
    },
    /// The operator does not want it: miners there move away.
    Disabled,
    /// The operator wants it empty: no new miners, and those there move away as it suits them.
    Draining,
}

impl State {
    /// Whether miners may be sent there.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Up | Self::Degraded)
    }

    /// One word for logs, metrics and operators.
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down { .. } => "down",
            Self::HalfOpen { .. } => "half-open",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What sessions tell of their pool. That a connect worked is none of it: a dead pool's kernel still accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A full login and a first job.
    LoggedIn,
    /// Something that a working pool does not do.
    Failed(Failure, Witness),
}

/// Who saw a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Whoever had been there would have seen it.
    Anybody,
    /// This one miner, told apart from others by a number, and it may be of the miner's own making: a pool throws out one
    /// that it does not like, or rejects all its shares. However often it does, it is one miner's word.
    Miner(u64),
}

/// What a working pool does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No address, no route, refused, or no answer to a connect in time.
    Dial,
    /// A request of the handshake was not answered in time.
    Handshake,
    /// It refused to be subscribed to, or closed the connection before a job.
    Refused,
    /// A name was accepted, and no job came in time.
    NoJob,
    /// No byte for too long.
    Silent,
    /// It closed a connection that worked.
    Closed,
    /// It closed a connection soon after the login.
    ClosedEarly,
    /// What it sent was no Stratum.
    Garbage,
    /// A submit got no verdict in time.
    SubmitUnanswered,
    /// It refused a name that it accepted before.
    NameRefused,
    /// It rejected many shares in a row.
    RejectsRun,
}

/// A connection that the pool closes so soon after its login was of no use to the miner.
const EARLY_MS: u64 = 30_000;

impl Failure {
    /// The pool closed a connection at `now` that had logged in at `logged_in`.
    pub fn closed(now: Moment, logged_in: Moment) -> Self {
        if now < logged_in.plus_ms(EARLY_MS) { Self::ClosedEarly } else { Self::Closed }
    }

    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Dial,
        Self::Handshake,
        Self::Refused,
        Self::NoJob,
        Self::Silent,
        Self::Closed,
        Self::ClosedEarly,
        Self::Garbage,
        Self::SubmitUnanswered,
        Self::NameRefused,
        Self::RejectsRun,
    ];

    /// Whether it says the same of the pool whoever saw it. The others may have been brought about by one miner.
    pub fn is_for_all(self) -> bool {
        matches!(self, Self::Dial | Self::Handshake | Self::Garbage)
    }

    /// Whether a login that works shows that it is over. What happens only after a login is none of those.
    pub fn is_disproved_by_login(self) -> bool {
        match self {
            Self::Dial | Self::Handshake | Self::Refused | Self::NoJob | Self::Silent | Self::Closed => true,
            Self::ClosedEarly
            | Self::Garbage
            | Self::SubmitUnanswered
            | Self::NameRefused
            | Self::RejectsRun => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial => "it cannot be connected to",
            Self::Handshake => "a request of the handshake was not answered in time",
            Self::Refused => "it would not serve a miner from the start",
            Self::NoJob => "it gave no job in time",
            Self::Silent => "it sent nothing for too long",
            Self::Closed => "it closed a connection",
            Self::ClosedEarly => "it closed a connection soon after the login",
            Self::Garbage => "what it sent was no Stratum",
            Self::SubmitUnanswered => "a submit got no verdict in time",
            Self::NameRefused => "it refused a name that it accepted before",
            Self::RejectsRun => "it rejected many shares in a row",
        })
    }
}

/// Why a state was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody has tried the pool yet.
    Untried,
    /// Somebody has, and it works.
    LoggedIn,
    /// The last failure of those that led here.
    Failure(Failure),
    /// A probe got no further.
    Probe(Failure),
    /// A probe told nothing in its time.
    ProbeOverdue,
    /// A probe logged in fully and got a job.
    Probed,
    /// Few failures within the window.
    WindowPassed,
    /// The time down is over.
    TimeOver,
    /// Configuration or command.
    Operator,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untried => f.write_str("not tried yet"),
            Self::LoggedIn => f.write_str("miners log in and get jobs"),
            Self::Failure(failure) => write!(f, "{failure}"),
            Self::Probe(failure) => write!(f, "a probe failed: {failure}"),
            Self::ProbeOverdue => f.write_str("a probe did not end in time"),
            Self::Probed => f.write_str("a probe logged in and got a job"),
            Self::WindowPassed => f.write_str("few failures of late"),
            Self::TimeOver => f.write_str("it is tried again"),
            Self::Operator => f.write_str("the operator wants it so"),
        }
    }
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Use the pool again, once a probe worked.
    Enable,
    /// Use it no more.
    Disable,
    /// Use it for no new miners, and let those there go.
    Drain,
}
