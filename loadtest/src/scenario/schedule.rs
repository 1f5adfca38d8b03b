//! When what happens: the steps of a scenario, each again and again where it says so, and the ends of faults.

use std::time::{Duration, Instant};

use super::file::Scenario;
use super::steps::Action;
use crate::timers::Timers;

/// Something that is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) action: Action,
    /// Of its pool.
    pub(super) place: usize,
    pub(super) count: u32,
    pub(super) part: f64,
    every: Duration,
    lasts: Duration,
}

/// What is still to come.
#[derive(Debug)]
pub(super) struct Schedule {
    timers: Timers<(Instant, Planned)>,
}

impl Schedule {
    /// All steps, counted from `start`.
    pub(super) fn new(scenario: &Scenario, start: Instant) -> Self {
        let mut this = Self { timers: Timers::new() };
        for step in &scenario.steps {
            let planned = Planned {
                action: step.action,
                place: scenario.place_of(&step.pool).unwrap_or_default(),
                count: step.count,
                part: step.part,
                every: Duration::from_millis(step.every_ms),
                lasts: Duration::from_millis(step.for_ms),
            };
            let at = start + Duration::from_millis(step.after_ms);
            if step.action == Action::Flap {
                this.plan_flaps(at, planned);
            } else {
                this.timers.push(at, (at, planned));
            }
        }
        this
    }

    /// A pool that flaps is killed and started so many times.
    fn plan_flaps(&mut self, at: Instant, flap: Planned) {
        let part = flap.lasts / flap.count.max(1);
        for nth in 0..flap.count {
            let at = at + part * nth;
            self.timers.push(at, (at, Planned { action: Action::Kill, lasts: part / 2, ..flap }));
        }
    }

    /// The next thing that is due.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Planned> {
        let (at, planned) = self.timers.pop_due(now)?;
        if !planned.every.is_zero() {
            self.timers.push(at + planned.every, (at + planned.every, planned));
        }
        if let Some(action) = planned.action.end().filter(|_| !planned.lasts.is_zero()) {
            let end = Planned { action, every: Duration::ZERO, lasts: Duration::ZERO, ..planned };
            self.timers.push(at + planned.lasts, (at + planned.lasts, end));
        }
        Some(planned)
    }

    /// How long until the next thing is due; `None` if nothing is to come.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.timers.wait(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes due of this step at pool `b`, look by look.
    fn looks<const N: usize>(step: &str, looks_ms: [u64; N]) -> [Vec<(Action, usize)>; N] {
        let text = format!(
            "about = ''\nrun_ms = 1\nfleet = {{}}\npools = [{{ name = 'a' }}, {{ name = 'b' }}]\n\
             steps = [{{ after_ms = 10, pool = 'b', {step} }}]",
        );
        let scenario = Scenario::parse("test", &text).unwrap();
        let start = Instant::now();
        let mut schedule = Schedule::new(&scenario, start);
        looks_ms.map(|ms| {
            let now = start + Duration::from_millis(ms);
            std::iter::from_fn(|| schedule.next_due(now)).map(|due| (due.action, due.place)).collect()
        })
    }

    const DOWN: (Action, usize) = (Action::Kill, 1);
    const UP: (Action, usize) = (Action::Start, 1);

    #[test]
    fn a_fault_comes_and_ends_again_and_again() {
        let due = looks("every_ms = 100, for_ms = 30, do = 'kill'", [9, 10, 109, 140]);
        assert_eq!(due, [vec![], vec![DOWN], vec![UP], vec![DOWN, UP]]);
    }

    #[test]
    fn a_pool_that_flaps_is_as_long_there_as_not() {
        let due = looks("for_ms = 40, count = 2, do = 'flap'", [10, 19, 20, 29, 30, 39, 40, 1_000]);
        assert_eq!(due, [vec![DOWN], vec![], vec![UP], vec![], vec![DOWN], vec![], vec![UP], vec![]]);
    }
}
