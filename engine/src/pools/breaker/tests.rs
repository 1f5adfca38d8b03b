//! The table of transitions row by row; then seeded random lives that must never break the promises.

use super::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    failures_count: 3,
    window_ms: 30_000,
    backoff: Backoff { min_ms: 1_000, max_ms: 60_000 },
    hurried_ms: 1_500,
    good_ms: 60_000,
    probe_ms: 10_000,
};
/// Random lives, and what happens in each.
const LIVES_COUNT: u64 = 300;
const STEPS_COUNT: u32 = 400;

fn at(ms: u64) -> Moment {
    Moment::default().plus_ms(ms)
}

/// A breaker at a virtual time.
struct Pool {
    breaker: Breaker,
    now: Moment,
}

impl Pool {
    fn new() -> Self {
        Self { breaker: Breaker::new(at(0), SETTINGS, true), now: at(0) }
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    fn fail(&mut self, failure: Failure) -> Option<Transition> {
        self.breaker.report(self.now, Report::Failed(failure, Witness::Anybody), self.now, 0)
    }

    fn log_in(&mut self) -> Option<Transition> {
        self.breaker.report(self.now, Report::LoggedIn, self.now, 0)
    }

    fn take_down(&mut self) -> Transition {
        let mut last = None;
        for _ in 0..SETTINGS.failures_count {
            last = self.fail(Failure::Dial);
        }
        last.expect("it went down")
    }

    /// Lets the present state's time pass.
    fn tick(&mut self) -> Option<Transition> {
        self.now = self.now.max(self.breaker.deadline());
        self.breaker.tick(self.now, 0)
    }

    fn probe(&mut self, result: Result<(), Failure>) -> Option<Transition> {
        self.breaker.probed(self.now, result, self.now, 0)
    }
}

/// States and reason of a transition.
fn told(transition: Option<Transition>) -> Option<(&'static str, &'static str, Reason)> {
    transition.map(|Transition { from, to, reason, .. }| (from.label(), to.label(), reason))
}

#[test]
fn one_miner_takes_no_pool_down_and_does_not_make_it_less_good() {
    let mut pool = Pool::new();
    let report = |pool: &mut Pool, miner| {
        let failed = Report::Failed(Failure::ClosedEarly, Witness::Miner(miner));
        pool.breaker.report(pool.now, failed, pool.now, 0)
    };
    for _ in 0..100 {
        pool.wait(1_000);
        report(&mut pool, 7);
        assert_eq!((pool.breaker.state(), pool.breaker.good_since()), (State::Degraded, Some(at(0))));
    }
    assert!(!pool.breaker.was_bad());
    assert_eq!(pool.breaker.deadline(), pool.now.plus_ms(SETTINGS.window_ms), "counted from the last one");
    assert_eq!(report(&mut pool, 8), None);
    assert_eq!((pool.breaker.good_since(), pool.breaker.was_bad()), (None, true));
    assert_eq!(report(&mut pool, 8), None);
    let transition = report(&mut pool, 9);
    assert_eq!(told(transition), Some(("degraded", "down", Reason::Failure(Failure::ClosedEarly))));
}

#[test]
fn failures_degrade_a_pool_and_then_take_it_down() {
    for failure in Failure::ALL {
        let mut pool = Pool::new();
        assert_eq!(told(pool.fail(failure)), Some(("up", "degraded", Reason::Failure(failure))));
        assert!(pool.breaker.state().is_usable());
        assert_eq!(pool.wait(1_000).fail(failure), None);
        let transition = pool.wait(1_000).fail(failure);
        assert_eq!(told(transition), Some(("degraded", "down", Reason::Failure(failure))));
        assert!(!pool.breaker.state().is_usable());
        assert_eq!((pool.breaker.since(), pool.breaker.reason()), (at(2_000), Reason::Failure(failure)));
        assert_eq!(pool.breaker.state(), State::Down { until: at(3_000) });
    }
}

#[test]
fn one_failure_is_enough_where_one_is_configured() {
    let settings = BreakerSettings { failures_count: 1, ..SETTINGS };
    let mut pool = Pool { breaker: Breaker::new(at(0), settings, true), now: at(0) };
    assert_eq!(told(pool.fail(Failure::Silent)), Some(("up", "down", Reason::Failure(Failure::Silent))));
}

#[test]
fn failures_that_lie_further_apart_than_the_window_take_no_pool_down() {
    let mut pool = Pool::new();
    for _ in 0..20 {
        pool.wait(SETTINGS.window_ms / 2).fail(Failure::SubmitUnanswered);
        assert!(pool.breaker.state().is_usable());
    }
    assert_eq!(told(pool.tick()), Some(("degraded", "up", Reason::WindowPassed)));
    assert_eq!(pool.breaker.good_since(), Some(pool.now));
}

#[test]
fn a_login_disproves_what_lies_before_a_login_and_nothing_else() {
    for failure in Failure::ALL {
        let mut pool = Pool::new();
        pool.fail(failure);
        pool.fail(failure);
        assert_eq!(pool.log_in(), None, "it may have been a single session's luck");
        pool.fail(failure);
        assert_eq!(pool.breaker.state().is_usable(), failure.is_disproved_by_login(), "{failure}");
    }
}

#[test]
fn a_pool_that_closes_each_connection_soon_after_its_login_goes_down() {
    let mut pool = Pool::new();
    for _ in 0..SETTINGS.failures_count {
        pool.log_in();
        let logged_in = pool.now;
        pool.wait(2_000);
        pool.fail(Failure::closed(pool.now, logged_in));
    }
    assert_eq!(pool.breaker.state().label(), "down");
    assert_eq!(Failure::closed(at(30_000), at(0)), Failure::Closed);
}

#[test]
fn out_of_down_a_probe_with_a_job_is_the_only_way() {
    let mut pool = Pool::new();
    pool.take_down();
    assert_eq!(pool.log_in(), None);
    assert_eq!(pool.probe(Ok(())), None, "nobody asked for it");
    assert_eq!(pool.breaker.tick(pool.now, 0), None, "too early");
    assert_eq!(told(pool.tick()), Some(("down", "half-open", Reason::TimeOver)));
    assert_eq!(pool.log_in(), None);
    assert!(!pool.breaker.state().is_usable());
    assert_eq!(told(pool.probe(Ok(()))), Some(("half-open", "up", Reason::Probed)));
    assert_eq!(pool.breaker.good_since(), Some(pool.now));
}

#[test]
fn probes_that_fail_in_a_row_take_a_pool_down_however_many_sessions_it_has() {
    let mut pool = Pool::new();
    pool.breaker.set_sessions(10_000);
    for _ in 1..SETTINGS.failures_count {
        assert_eq!(pool.probe(Err(Failure::Dial)).map(|transition| transition.to), None);
    }
    // Somebody got in meanwhile: it starts again.
    assert_eq!(pool.log_in(), None);
    for _ in 1..SETTINGS.failures_count {
        assert_eq!(pool.probe(Err(Failure::Dial)), None);
    }
    let down = pool.probe(Err(Failure::Dial));
    assert_eq!(told(down), Some(("up", "down", Reason::Probe(Failure::Dial))));
}

#[test]
fn a_probe_in_vain_leads_to_a_longer_time_down() {
    let mut pool = Pool::new();
    pool.take_down();
    let mut last_ms = 0;
    for _ in 0..5 {
        let State::Down { until } = pool.breaker.state() else { panic!("{:?}", pool.breaker) };
        let down_ms = until.since_us(pool.now) / 1_000;
        assert!(down_ms >= last_ms * 2, "{last_ms}, then {down_ms}");
        last_ms = down_ms;
        pool.tick();
        let reason = Reason::Probe(Failure::NoJob);
        assert_eq!(told(pool.probe(Err(Failure::NoJob))), Some(("half-open", "down", reason)));
    }
}

#[test]
fn a_probe_that_tells_nothing_counts_as_failed_and_a_late_one_not_at_all() {
    let mut pool = Pool::new();
    pool.take_down();
    pool.tick();
    let began = pool.now;
    assert_eq!(pool.breaker.deadline(), pool.now.plus_ms(SETTINGS.probe_ms));
    assert_eq!(told(pool.tick()), Some(("half-open", "down", Reason::ProbeOverdue)));
    pool.tick();
    assert_eq!(pool.breaker.state().label(), "half-open");
    assert_eq!(pool.breaker.probed(pool.now, Ok(()), began, 0), None);
    assert_eq!(pool.breaker.state().label(), "half-open");
}

#[test]
fn what_began_before_the_pool_came_back_is_not_held_against_it() {
    let mut pool = Pool::new();
    pool.take_down();
    let before = pool.now;
    pool.tick();
    pool.probe(Ok(()));
    for _ in 0..10 {
        assert_eq!(
            pool.breaker.report(pool.now, Report::Failed(Failure::Handshake, Witness::Anybody), before, 0),
            None
        );
    }
    assert_eq!(pool.breaker.state(), State::Up);
}

#[test]
fn among_many_sessions_a_few_failures_are_no_sign() {
    let mut pool = Pool::new();
    pool.breaker.set_sessions(2_000);
    assert_eq!(pool.breaker.limit(), 20);
    let states = (0..20).map(|_| {
        pool.fail(Failure::RejectsRun);
        pool.breaker.state().label()
    });
    let expected = [["up"; 6].as_slice(), &["degraded"; 13], &["down"]].concat();
    assert_eq!(states.collect::<Vec<_>>(), expected);
}

#[test]
fn a_large_pool_with_a_failure_now_and_then_counts_as_good() {
    let mut pool = Pool::new();
    pool.breaker.set_sessions(2_000);
    for _ in 0..100 {
        pool.wait(SETTINGS.window_ms / 5).fail(Failure::ClosedEarly);
    }
    assert_eq!(pool.breaker.good_since(), Some(at(0)));
}

#[test]
fn a_degraded_pool_is_up_once_failures_are_few_again() {
    let mut pool = Pool::new();
    pool.breaker.set_sessions(600);
    for _ in 0..4 {
        pool.wait(1_000).fail(Failure::Dial);
    }
    // Of the failures after 1, 2, 3 and 4 s the first three must be forgotten for fewer than two to be left.
    assert_eq!((pool.breaker.state(), pool.breaker.limit()), (State::Degraded, 6));
    assert_eq!(pool.breaker.deadline(), at(3_000 + SETTINGS.window_ms));
    assert_eq!(told(pool.tick()), Some(("degraded", "up", Reason::WindowPassed)));
    assert_eq!(pool.now, at(3_000 + SETTINGS.window_ms));
}

#[test]
fn sessions_that_fail_and_log_in_by_turns_do_not_fill_the_log() {
    let mut pool = Pool::new();
    let mut transitions_count = 0;
    for _ in 0..300 {
        transitions_count += u32::from(pool.wait(100).fail(Failure::Handshake).is_some());
        transitions_count += u32::from(pool.log_in().is_some());
        transitions_count += u32::from(pool.breaker.tick(pool.now, 0).is_some());
    }
    assert!(transitions_count <= 2, "in {} ms: {transitions_count}", SETTINGS.window_ms);
}

#[test]
fn an_operator_decides_at_any_time_and_enabling_asks_for_a_probe() {
    let mut pool = Pool::new();
    let command = |pool: &mut Pool, command| told(pool.breaker.command(pool.now, command));
    assert_eq!(command(&mut pool, Command::Enable), None, "it is enabled");
    assert_eq!(command(&mut pool, Command::Drain), Some(("up", "draining", Reason::Operator)));
    assert_eq!(command(&mut pool, Command::Drain), None);
    assert_eq!(command(&mut pool, Command::Disable), Some(("draining", "disabled", Reason::Operator)));
    assert_eq!(pool.fail(Failure::Dial), None);
    assert_eq!(pool.breaker.deadline(), Moment::NEVER);
    assert_eq!(command(&mut pool, Command::Enable), Some(("disabled", "half-open", Reason::Operator)));
    pool.probe(Ok(()));
    pool.take_down();
    assert_eq!(command(&mut pool, Command::Disable), Some(("down", "disabled", Reason::Operator)));
    let disabled = Breaker::new(at(0), SETTINGS, false);
    assert_eq!((disabled.state(), disabled.reason()), (State::Disabled, Reason::Operator));
}

#[test]
fn flapping_makes_a_pool_wait_longer_each_time_until_it_was_good_for_a_while() {
    let mut pool = Pool::new();
    let mut downs_ms = Vec::new();
    for _ in 0..12 {
        pool.take_down();
        let began = pool.now;
        pool.tick();
        downs_ms.push(pool.now.since_us(began) / 1_000);
        pool.probe(Ok(()));
        pool.wait(5_000).log_in();
    }
    let (last, bound) = (downs_ms[11], SETTINGS.backoff.max_ms);
    assert!(downs_ms.windows(2).all(|pair| pair[0] < pair[1] || pair[1] >= bound / 5 * 4), "{downs_ms:?}");
    assert!((bound / 5 * 4..=bound).contains(&last), "{downs_ms:?}");

    pool.wait(SETTINGS.good_ms);
    let began = pool.take_down().at;
    assert_eq!(pool.breaker.state(), State::Down { until: began.plus_ms(SETTINGS.backoff.min_ms) });
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One thing that may happen, wanted or not.
fn anything(pool: &mut Pool, random: &mut Random) -> Option<Transition> {
    let failure = Failure::ALL[random.below(10) as usize];
    let began = at((pool.now.0 / 1_000).saturating_sub(random.below(20_000)));
    let (now, number, breaker) = (pool.now, random.next(), &mut pool.breaker);
    match random.below(12) {
        0..=3 => breaker.report(now, Report::Failed(failure, Witness::Anybody), began, number),
        4..=5 => breaker.report(now, Report::LoggedIn, began, number),
        6 => breaker.probed(now, Ok(()), began, number),
        7 => breaker.probed(now, Err(failure), began, number),
        8..=10 => breaker.tick(now, number),
        _ => match random.below(6) {
            0 => breaker.command(now, Command::Disable),
            1 => breaker.command(now, Command::Drain),
            2..=3 => breaker.command(now, Command::Enable),
            4 => {
                breaker.set_sessions(random.below(1_000) as u32);
                None
            }
            _ => {
                breaker
                    .set_settings(BreakerSettings { failures_count: 1 + random.below(5) as u32, ..SETTINGS });
                None
            }
        },
    }
}

#[test]
fn no_life_breaks_the_table_of_transitions_or_the_bounds_of_time() {
    for seed in 0..LIVES_COUNT {
        let (mut pool, mut random) = (Pool::new(), Random(seed));
        let mut state = pool.breaker.state();
        for _ in 0..STEPS_COUNT {
            pool.wait(random.below(8_000));
            let transition = anything(&mut pool, &mut random);
            let Some(Transition { at, from, to, reason }) = transition else {
                assert_eq!(pool.breaker.state(), state, "seed {seed}: a change that was not told");
                continue;
            };
            assert_eq!((at, from, to), (pool.now, state, pool.breaker.state()), "seed {seed}");
            assert_eq!((pool.breaker.since(), pool.breaker.reason()), (at, reason), "seed {seed}");
            let is_allowed = match (from, to) {
                (State::Up, State::Degraded | State::Down { .. })
                | (State::Degraded, State::Up | State::Down { .. })
                | (State::Down { .. }, State::HalfOpen { .. })
                | (State::HalfOpen { .. }, State::Down { .. })
                | (State::Disabled | State::Draining, State::HalfOpen { .. }) => true,
                (State::HalfOpen { .. }, State::Up) => reason == Reason::Probed,
                (from, State::Disabled | State::Draining) => from != to && reason == Reason::Operator,
                _ => false,
            };
            assert!(is_allowed, "seed {seed}: {from} to {to}, {reason}");
            if let State::Down { until } = to {
                let bounds = SETTINGS.backoff.min_ms..=SETTINGS.backoff.max_ms;
                assert!(bounds.contains(&(until.since_us(at) / 1_000)), "seed {seed}: {to:?}");
            }
            state = to;
        }
    }
}

#[test]
fn whatever_happened_a_working_pool_gets_up_again() {
    /// Down, half-open, up; one more for a state to be left first.
    const MOVES_COUNT_MAX: u32 = 4;
    for seed in 0..LIVES_COUNT {
        let (mut pool, mut random) = (Pool::new(), Random(seed));
        for _ in 0..random.below(u64::from(STEPS_COUNT)) {
            pool.wait(random.below(8_000));
            anything(&mut pool, &mut random);
        }
        pool.breaker.command(pool.now, Command::Enable);
        let mut moves_count = 0;
        while pool.breaker.state() != State::Up {
            moves_count += 1;
            assert!(moves_count <= MOVES_COUNT_MAX, "seed {seed}: stuck in {:?}", pool.breaker);
            if matches!(pool.breaker.state(), State::HalfOpen { .. }) {
                pool.probe(Ok(()));
            } else {
                pool.tick();
            }
        }
    }
}
