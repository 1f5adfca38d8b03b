//! Groups without a usable pool: their miners wait, and for [`grace_ms`](super::settings::FailoverSettings::grace_ms) only, so
//! their pools are tried again sooner than others.
//!
//! Not here: how much sooner ([`super::breaker::BreakerSettings::hurried_ms`]), and the miners themselves.

use std::collections::{HashMap, HashSet};

use adit_protocol::pool::PoolId;

use super::breaker::Breaker;
use super::catalogue::Catalogue;

/// Cuts the time down of pools where no other of their group can be used, whenever that began. Those for which it did. `roll`
/// gives any number.
pub(super) fn hurry(
    catalogue: &Catalogue,
    breakers: &mut HashMap<PoolId, Breaker>,
    mut roll: impl FnMut() -> u64,
) -> Vec<PoolId> {
    let is_usable = |pool: &PoolId| breakers.get(pool).is_some_and(|breaker| breaker.state().is_usable());
    let in_use = catalogue.pools().filter(|entry| is_usable(&entry.id));
    let served: HashSet<&str> = in_use.map(|entry| entry.settings.group.as_str()).collect();
    let waited_for = catalogue.pools().filter(|entry| !served.contains(entry.settings.group.as_str()));
    waited_for
        .map(|entry| entry.id)
        .filter(|pool| breakers.get_mut(pool).is_some_and(|breaker| breaker.hurry(roll())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_protocol::moment::Moment;
    use adit_store::names::Names;

    use super::*;
    use crate::dice::Dice;
    use crate::pools::breaker::{BreakerSettings, Failure, Report, State, Witness};
    use crate::settings::{GroupSettings, PoolSettings, Settings};

    const FIRST: PoolId = PoolId(1);
    const SECOND: PoolId = PoolId(2);
    const OTHER_GROUPS: PoolId = PoolId(3);
    /// The longest time that a pool that is back waits for its probe, with default settings.
    const WAIT_MS_MAX: u64 = 1_500;

    /// What the control does with three pools, two of one group and one of another, at a virtual time.
    struct Control {
        catalogue: Catalogue,
        breakers: HashMap<PoolId, Breaker>,
        now: Moment,
        dice: Dice,
        probes_count: u64,
    }

    impl Control {
        fn new(seed: u64) -> Self {
            let pool = |name: &str| PoolSettings {
                name: name.to_owned(),
                ..PoolSettings::transparent("127.0.0.1", 3333)
            };
            let mut settings = Settings::with_pool(pool("first"));
            settings.pools.push(pool("second"));
            settings.pools.push(PoolSettings { group: "other".to_owned(), ..pool("third") });
            settings.groups.push(GroupSettings { name: "other".to_owned(), warm_standby: 0 });
            let rules = BreakerSettings::new(&settings.failover, &settings.pools[0].timeouts);
            let catalogue = Catalogue::new(Arc::new(settings), None, &Names::default()).expect("pools");
            let now = Moment::default();
            let breakers =
                catalogue.pools().map(|entry| (entry.id, Breaker::new(now, rules, true))).collect();
            Self { catalogue, breakers, now, dice: Dice::seeded(seed), probes_count: 0 }
        }

        fn state(&self, pool: PoolId) -> State {
            self.breakers[&pool].state()
        }

        fn down_until(&self, pool: PoolId) -> Moment {
            match self.state(pool) {
                State::Down { until } => until,
                other => panic!("{other:?}"),
            }
        }

        fn hurry(&mut self) -> Vec<PoolId> {
            hurry(&self.catalogue, &mut self.breakers, || self.dice.roll())
        }

        fn take_down(&mut self, pool: PoolId) {
            let breaker = self.breakers.get_mut(&pool).expect("a breaker");
            while breaker.state().is_usable() {
                let report = Report::Failed(Failure::Dial, Witness::Anybody);
                breaker.report(self.now, report, self.now, self.dice.roll());
            }
            self.hurry();
        }

        /// Lets time pass until `end`. `is_there` tells which pools can be reached, the others refuse at once.
        fn run_until(&mut self, end: Moment, is_there: impl Fn(PoolId, Moment) -> bool) {
            loop {
                let next = self.breakers.iter().map(|(&pool, breaker)| (breaker.deadline(), pool)).min();
                let (due, pool) = next.expect("a breaker");
                if due > end {
                    self.now = end;
                    return;
                }
                self.now = self.now.max(due);
                let breaker = self.breakers.get_mut(&pool).expect("a breaker");
                breaker.tick(self.now, self.dice.roll());
                if matches!(breaker.state(), State::HalfOpen { .. }) {
                    self.probes_count += 1;
                    let result = is_there(pool, self.now).then_some(()).ok_or(Failure::Dial);
                    breaker.probed(self.now, result, self.now, self.dice.roll());
                }
                self.hurry();
            }
        }
    }

    #[test]
    fn the_last_pool_of_a_group_is_up_soon_after_it_is_back_however_long_it_was_away() {
        let grace_ms = Settings::with_pool(PoolSettings::transparent("127.0.0.1", 3333)).failover.grace_ms;
        for back_ms in (0..=grace_ms).step_by(100) {
            let mut control = Control::new(back_ms);
            control.take_down(OTHER_GROUPS);
            let back = control.now.plus_ms(back_ms);
            control.run_until(back.plus_ms(WAIT_MS_MAX), |_, now| now >= back);
            assert_eq!(control.state(OTHER_GROUPS), State::Up, "back after {back_ms} ms");
            assert!(control.probes_count <= 2 + back_ms / 1_000, "{} probes", control.probes_count);
        }
    }

    #[test]
    fn a_pool_that_is_down_for_long_is_tried_soon_once_the_last_other_one_fails() {
        let mut control = Control::new(7);
        control.take_down(FIRST);
        control.run_until(Moment::default().plus_ms(300_000), |_, _| false);
        control.run_until(control.down_until(FIRST), |_, _| false);
        assert!(
            control.down_until(FIRST) > control.now.plus_ms(10 * WAIT_MS_MAX),
            "nothing hurries while the second one is up"
        );
        control.take_down(SECOND);
        let back = control.now;
        control.run_until(back.plus_ms(WAIT_MS_MAX), |pool, _| pool == FIRST);
        assert_eq!(control.state(FIRST), State::Up);
    }

    #[test]
    fn a_time_that_was_cut_lengthens_no_later_one() {
        let mut control = Control::new(8);
        control.take_down(FIRST);
        control.take_down(SECOND);
        control.run_until(Moment::default().plus_ms(60_000), |_, _| false);
        let back = control.now;
        control.run_until(back.plus_ms(WAIT_MS_MAX), |pool, _| pool == FIRST);
        assert_eq!(control.state(FIRST), State::Up);
        control.run_until(back.plus_ms(2 * WAIT_MS_MAX), |pool, _| pool == FIRST);
        assert!(control.down_until(SECOND) <= control.now.plus_ms(5_000), "as if the third time");
        assert_eq!(control.hurry(), []);
    }
}
