//! How hashrate is split among pools, beside how it should be.
//!
//! Miners are what is moved, not hashes, so a split by weight is off by chance, and more so the fewer and the more unequal
//! the miners are. If each miner with hashrate `r` goes to a pool with probability `p`, the pool's part of the hashrate has
//! the standard error `sqrt(p (1 - p) sum(r²)) / sum(r)`: two parts in three lie within one, nineteen in twenty within two.

/// Hashrates of miners as they are added up, by pool.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    sum: f64,
    sum_of_squares: f64,
    by_pool: Vec<f64>,
}

/// One pool's part of the hashrate.
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
    /// Nothing yet, for so many pools.
    pub fn new(pools_count: usize) -> Self {
        Self { by_pool: vec![0.0; pools_count], ..Self::default() }
    }

    /// A miner with this hashrate is at pool number `pool`. Nothing is added for a number that is no pool's.
    pub fn add(&mut self, pool: usize, hashrate: f64) {
        if let Some(of_pool) = self.by_pool.get_mut(pool)
            && hashrate.is_finite()
            && hashrate > 0.0
        {
            *of_pool += hashrate;
            self.sum += hashrate;
            self.sum_of_squares += hashrate * hashrate;
        }
    }

    /// Pool number `pool`'s part, where `wanted` of the hashrate should be.
    pub fn share(&self, pool: usize, wanted: f64) -> Share {
        let of_pool = self.by_pool.get(pool).copied().unwrap_or_default();
        if self.sum <= 0.0 {
            return Share { wanted, achieved: 0.0, standard_error: 1.0 };
        }
        let variance = (wanted * (1.0 - wanted)).max(0.0) * self.sum_of_squares;
        Share { wanted, achieved: of_pool / self.sum, standard_error: variance.sqrt() / self.sum }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::rendezvous::MinerKey;
    use super::*;
    use crate::settings::{GroupSettings, PoolSettings};

    #[test]
    fn equal_miners_have_the_error_of_a_coin() {
        let mut tally = Tally::new(2);
        (0..1_000).for_each(|n| tally.add(n % 2, 5.0));
        let share = tally.share(0, 0.5);
        assert!((share.achieved - 0.5).abs() < 1e-9);
        assert!((share.standard_error - (0.25_f64 / 1_000.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn one_great_miner_makes_every_split_uncertain() {
        let mut tally = Tally::new(2);
        (0..100).for_each(|n| tally.add(n % 2, 1.0));
        tally.add(0, 900.0);
        let share = tally.share(0, 0.5);
        assert!(share.achieved > 0.9 && share.standard_error > 0.4 && share.is_as_wanted(), "{share:?}");
        assert!(!Share { wanted: 0.5, achieved: 0.6, standard_error: 0.02 }.is_as_wanted());
    }

    #[test]
    fn without_hashrate_nothing_is_claimed() {
        let mut tally = Tally::new(1);
        tally.add(0, f64::NAN);
        tally.add(0, -1.0);
        tally.add(7, 1.0);
        assert_eq!(tally.share(0, 1.0), Share { wanted: 1.0, achieved: 0.0, standard_error: 1.0 });
        assert!(tally.share(9, 0.0).achieved.abs() < f64::EPSILON);
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
                let mut tally = Tally::new(2);
                for n in 0..300_u32 {
                    // Names that no number tells apart, and machines of three sizes.
                    let name = format!("{farm}.{}", "x".repeat(n as usize));
                    let miner = MinerKey::of_worker(name.as_bytes());
                    let hashrate = [1.0, 10.0, 100.0][n as usize % 3];
                    tally.add(plan.choose(0, miner, |_| true).expect("a pool"), hashrate);
                }
                tally.share(0, 0.75)
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
