//! When what happens: the steps of a scenario, each again and again where it says so, and the ends of faults.

use std::time::{Duration, Instant};

use super::file::{Action, Scenario};
use crate::timers::Timers;

/// Something that is planned.
#[derive(Clone, Copy, Debug)]
struct Planned {
    action: Action,
    place: usize,
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
        let mut timers = Timers::new();
        for step in &scenario.steps {
            let at = start + Duration::from_millis(step.after_ms);
            let planned = Planned {
                action: step.action,
                place: scenario.place_of(&step.pool).unwrap_or_default(),
                every: Duration::from_millis(step.every_ms),
                lasts: Duration::from_millis(step.for_ms),
            };
            timers.push(at, (at, planned));
        }
        Self { timers }
    }

    /// The next thing that is due, and the place of its pool.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(Action, usize)> {
        let (at, planned) = self.timers.pop_due(now)?;
        if !planned.every.is_zero() {
            self.timers.push(at + planned.every, (at + planned.every, planned));
        }
        if let Some(action) = planned.action.end().filter(|_| !planned.lasts.is_zero()) {
            let end = Planned { action, every: Duration::ZERO, lasts: Duration::ZERO, ..planned };
            self.timers.push(at + planned.lasts, (at + planned.lasts, end));
        }
        Some((planned.action, planned.place))
    }

    /// How long until the next thing is due; `None` if nothing is to come.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.timers.wait(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_flaps_goes_and_comes_again_and_again() {
        let scenario = Scenario::parse(
            "flap",
            "about = ''\nrun_ms = 1\nfleet = {}\npools = [{ name = 'a' }, { name = 'b' }]\n\
             steps = [{ after_ms = 10, every_ms = 100, for_ms = 30, pool = 'b', do = 'kill' }]",
        )
        .unwrap();
        let start = Instant::now();
        let mut schedule = Schedule::new(&scenario, start);
        let mut due = |ms| {
            let now = start + Duration::from_millis(ms);
            std::iter::from_fn(|| schedule.next_due(now)).collect::<Vec<_>>()
        };
        assert_eq!(due(9), []);
        assert_eq!(due(10), [(Action::Kill, 1)]);
        assert_eq!(due(109), [(Action::Start, 1)]);
        assert_eq!(due(140), [(Action::Kill, 1), (Action::Start, 1)]);
    }
}
