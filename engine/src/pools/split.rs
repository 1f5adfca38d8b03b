//! How hashrate is split among pools, beside how it should be.
//!
//! Miners are what is moved, not hashes, so a split by weight is off by chance, and more so the fewer and the more unequal
//! the miners are. If each miner with hashrate `r` goes to a pool with probability `p`, the pool's part of the hashrate has
//! the standard error `sqrt(p (1 - p) sum(r²)) / sum(r)`: two parts in three lie within one, nineteen in twenty within two.

/// Miners and their hashrates as they are added up, at one pool or at several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Miners, those without a hashrate included.
    pub count: u64,
    sum: f64,
    sum_of_squares: f64,
}

/// One pool's part of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// What it should be, from 0 to 1.
    pub wanted: f64,
    /// What it is.
    pub achieved: f64,
    /// By how much both may differ by chance: one standard error.
    pub standard_error: f64,
}

impl Share {
    /// Whether the difference is no more than chance makes of it in 999 cases of 1,000.
    pub fn is_as_wanted(&self) -> bool {
        /// Standard errors.
        const BOUND: f64 = 3.3;
        (self.achieved - self.wanted).abs() <= BOUND * self.standard_error + f64::EPSILON
    }
}

impl Tally {
    /// A miner more. What is no hashrate counts as none.
    pub fn add(&mut self, hashrate: f64) {
        self.count += 1;
        if hashrate.is_finite() && hashrate > 0.0 {
            self.sum += hashrate;
            self.sum_of_squares += hashrate * hashrate;
        }
    }

    /// Adds the miners of another pool.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
    }

    /// The part of the hashrate that these have of `all`, where `wanted` of it should be.
    pub fn part_of(&self, all: &Self, wanted: f64) -> Share {
        share(wanted, self.sum, all.sum, all.sum_of_squares)
    }

    /// The part of the miners, the same.
    pub fn count_of(&self, all: &Self, wanted: f64) -> Share {
        let count = all.count as f64;
        share(wanted, self.count as f64, count, count)
    }
}

fn share(wanted: f64, part: f64, sum: f64, sum_of_squares: f64) -> Share {
    if sum <= 0.0 {
        return Share { wanted, achieved: 0.0, standard_error: 1.0 };
    }
    let variance = (wanted * (1.0 - wanted)).max(0.0) * sum_of_squares;
    Share { wanted, achieved: part / sum, standard_error: variance.sqrt() / sum }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::rendezvous::MinerKey;
    use super::*;
    use crate::settings::{GroupSettings, PoolSettings};

    fn tally(hashrates: impl IntoIterator<Item = f64>) -> Tally {
        hashrates.into_iter().fold(Tally::default(), |mut tally, hashrate| {
            tally.add(hashrate);
            tally
        })
    }

    fn sum(one: &Tally, other: &Tally) -> Tally {
        let mut sum = *one;
        sum.merge(other);
        sum
    }

    #[test]
    fn equal_miners_have_the_error_of_a_coin() {
        let half = tally([5.0; 500]);
        let all = sum(&half, &half);
        for share in [half.part_of(&all, 0.5), half.count_of(&all, 0.5)] {
            assert!((share.achieved - 0.5).abs() < 1e-9);
            assert!((share.standard_error - (0.25_f64 / 1_000.0).sqrt()).abs() < 1e-9);
        }
    }

    #[test]
    fn one_great_miner_makes_every_split_uncertain() {
        let (one, other) = (tally([[1.0; 50].as_slice(), &[900.0]].concat()), tally([1.0; 50]));
        let all = sum(&one, &other);
        let share = one.part_of(&all, 0.5);
        assert!(share.achieved > 0.9 && share.standard_error > 0.4 && share.is_as_wanted(), "{share:?}");
        assert!(one.count_of(&all, 0.5).standard_error < 0.06, "their number is not");
        assert!(!Share { wanted: 0.5, achieved: 0.6, standard_error: 0.02 }.is_as_wanted());
    }

    #[test]
    fn without_hashrate_nothing_is_claimed() {
        let tally = tally([f64::NAN, -1.0]);
        assert_eq!(tally.part_of(&tally, 1.0), Share { wanted: 1.0, achieved: 0.0, standard_error: 1.0 });
        let share = tally.count_of(&tally, 1.0);
        assert_eq!(share, Share { wanted: 1.0, achieved: 1.0, standard_error: 0.0 });
        assert!(Tally::default().count_of(&Tally::default(), 0.3).achieved.abs() < f64::EPSILON);
    }

    #[test]
    fn miners_placed_by_weight_lie_within_the_stated_error() {
        const FARMS_COUNT: u32 = 200;
        let pool = |name: &str, weight| PoolSettings {
            name: name.to_owned(),
            weight,
            ..PoolSettings::transparent("pool.example", 1)
        };
        let pools = [pool("a", 3), pool("b", 1)];
        let group = GroupSettings { name: "default".to_owned(), warm_standby: 0 };
        let plan = Plan::new(&[group], pools.iter().enumerate());
        let shares: Vec<_> = (0..FARMS_COUNT)
            .map(|farm| {
                let mut tallies = [Tally::default(); 2];
                for n in 0..300_u32 {
                    // Names that no number tells apart, and machines of three sizes.
                    let name = format!("{farm}.{}", "x".repeat(n as usize));
                    let miner = MinerKey::of_worker(name.as_bytes());
                    let hashrate = [1.0, 10.0, 100.0][n as usize % 3];
                    tallies[plan.choose(0, miner, |_| true).expect("a pool")].add(hashrate);
                }
                tallies[0].part_of(&sum(&tallies[0], &tallies[1]), 0.75)
            })
            .collect();
        let part = |is_within: fn(&Share) -> bool| {
            shares.iter().filter(|share| is_within(share)).count() as f64 / shares.len() as f64
        };
        let within_one = part(|share| (share.achieved - share.wanted).abs() <= share.standard_error);
        assert!(
            (0.58..0.78).contains(&within_one),
            "68 % should lie within one standard error: {within_one}"
        );
        assert!(part(Share::is_as_wanted) >= 0.98);
    }
}
