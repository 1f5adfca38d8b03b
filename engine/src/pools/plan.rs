//! Which pool a miner gets: the group's pools by priority, and among those of equal priority by weight.
//!
//! A [`Plan`] is made from the configuration and never changes; which pools are usable at the moment is the caller's to say,
//! and so is what has to be avoided. The same question always gets the same answer: nothing is remembered and nothing is
//! random, so all shards agree without asking one another, and a miner keeps its pool across reconnects.
//!
//! Not here: which group ([`super::routes`]), and when to move a miner whose pool is no longer the one it would get.

use super::rendezvous::{MinerKey, PoolSeed, Wait};
use super::settings::{GroupSettings, PoolSettings};

/// Pools in their groups. `P` is how the caller names a pool.
#[derive(Clone, Debug)]
pub struct Plan<P> {
    /// By the number of the group, its place in the configuration's list.
    groups: Vec<Vec<Tier<P>>>,
}

/// Pools of one group and one priority.
#[derive(Clone, Debug)]
struct Tier<P> {
    priority: u16,
    pools: Vec<Member<P>>,
}

#[derive(Clone, Debug)]
struct Member<P> {
    pool: P,
    seed: PoolSeed,
    weight: u32,
}

/// A pool's part of the miners of its group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part<P> {
    /// The pool.
    pub pool: P,
    /// From 0 to 1; 0 where a pool of lower number is usable, or it is not usable itself.
    pub wanted: f64,
}

impl<P: Copy> Plan<P> {
    /// The plan for these pools. One whose group is not in `groups` gets no miner.
    pub fn new<'a>(groups: &[GroupSettings], pools: impl IntoIterator<Item = (P, &'a PoolSettings)>) -> Self {
        let mut tiers: Vec<Vec<Tier<P>>> = groups.iter().map(|_| Vec::new()).collect();
        for (pool, settings) in pools {
            let number = groups.iter().position(|group| group.name == settings.group);
            let Some(group) = number.and_then(|number| tiers.get_mut(number)) else { continue };
            let member = Member { pool, seed: PoolSeed::of(&settings.name), weight: settings.weight };
            match group.binary_search_by_key(&settings.priority, |tier| tier.priority) {
                Ok(at) => group[at].pools.push(member),
                Err(at) => group.insert(at, Tier { priority: settings.priority, pools: vec![member] }),
            }
        }
        Self { groups: tiers }
    }

    /// The pool that a miner of group number `group` gets: of the usable ones of the first priority that has any, the one it
    /// draws by weight. `None` if none is usable.
    ///
    /// `is_usable` is asked at most once for each pool. It may know more than the pool's state: to find a pool to go to, let
    /// it refuse the one that the miner just lost; to find whether to go back, let it take only the present pool and those
    /// that have been good for long enough.
    pub fn choose(&self, group: usize, miner: MinerKey, mut is_usable: impl FnMut(P) -> bool) -> Option<P> {
        self.tiers(group).find_map(|tier| {
            let wait = |member: &Member<P>| Wait::new(miner, member.seed, member.weight);
            let mut usable = tier.pools.iter().filter(|member| is_usable(member.pool));
            let first = usable.next()?;
            // The usual case: one pool for each priority. Nothing has to be drawn then.
            let Some(second) = usable.next() else { return Some(first.pool) };
            let mut best = (wait(first), first.pool);
            for member in std::iter::once(second).chain(usable) {
                let wait = wait(member);
                if wait.is_less_than(best.0) {
                    best = (wait, member.pool);
                }
            }
            Some(best.1)
        })
    }

    /// All pools of the group, in the order in which the miner would get them.
    pub fn in_order(&self, group: usize, miner: MinerKey) -> Vec<P>
    where
        P: PartialEq,
    {
        let mut order = Vec::new();
        while let Some(next) = self.choose(group, miner, |pool| !order.contains(&pool)) {
            order.push(next);
        }
        order
    }

    /// What part of the group's miners each of its pools should have while these are usable.
    pub fn wanted(&self, group: usize, mut is_usable: impl FnMut(P) -> bool) -> Vec<Part<P>> {
        let mut is_taken = false;
        let mut parts = Vec::new();
        for tier in self.tiers(group) {
            let weights: Vec<_> = tier
                .pools
                .iter()
                .map(
                    |member| if !is_taken && is_usable(member.pool) { f64::from(member.weight) } else { 0.0 },
                )
                .collect();
            let sum: f64 = weights.iter().sum();
            let part = |(member, weight): (&Member<P>, &f64)| Part {
                pool: member.pool,
                wanted: if sum > 0.0 { weight / sum } else { 0.0 },
            };
            parts.extend(tier.pools.iter().zip(&weights).map(part));
            is_taken |= sum > 0.0;
        }
        parts
    }

    /// Whether any pools of one group have the same priority.
    pub fn shares_by_weight(&self) -> bool {
        self.groups.iter().flatten().any(|tier| tier.pools.len() > 1)
    }

    fn tiers(&self, group: usize) -> impl Iterator<Item = &Tier<P>> {
        self.groups.get(group).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan of one group, its pools numbered from 0: priority and weight of each.
    fn plan(pools: &[(u16, u32)]) -> Plan<usize> {
        let settings = |(number, &(priority, weight)): (usize, &(u16, u32))| {
            let name = format!("pool{number}");
            PoolSettings { name, priority, weight, ..PoolSettings::transparent("pool.example", 3333) }
        };
        let pools: Vec<_> = pools.iter().enumerate().map(settings).collect();
        let groups = [GroupSettings { name: "default".to_owned(), warm_standby: 0 }];
        Plan::new(&groups, pools.iter().enumerate())
    }

    /// How farms name their machines: each a list of as many workers as asked for. All but the last two number them.
    fn farms(count: usize) -> Vec<Vec<MinerKey>> {
        let names: [fn(usize) -> String; 8] = [
            |n| format!("account.rig{n}"),
            |n| format!("w{n}"),
            |n| format!("farm1.s19-{n:04}"),
            |n| format!("account.10x{}x{}x{}", n / 2500, n / 250 % 10, n % 250),
            |n| format!("worker{n}.usb"),
            |n| format!("bc1qexample.rack{}-{}", n / 8, n % 8),
            |n| format!("account.{}", ["alpha", "beta", "gamma", "delta"][n % 4].repeat(1 + n / 4)),
            |n| format!("{:012x}", (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16),
        ];
        let keys =
            |name: fn(usize) -> String| (0..count).map(|n| MinerKey::of_worker(name(n).as_bytes())).collect();
        names.into_iter().map(keys).collect()
    }
    /// How many of them number their machines.
    const NUMBERED_COUNT: usize = 6;

    /// Greatest distance of a pool's part from the wanted one.
    fn worst(plan: &Plan<usize>, miners: &[MinerKey]) -> f64 {
        let parts = plan.wanted(0, |_| true);
        let mut counts = vec![0_u32; parts.len()];
        for &miner in miners {
            counts[plan.choose(0, miner, |_| true).expect("a pool")] += 1;
        }
        let distance =
            |part: &Part<usize>| (f64::from(counts[part.pool]) / miners.len() as f64 - part.wanted).abs();
        parts.iter().map(distance).fold(0.0, f64::max)
    }

    const SPLITS: [&[(u16, u32)]; 5] = [
        &[(1, 1), (1, 1)],
        &[(1, 7), (1, 3)],
        &[(1, 1), (1, 2), (1, 3)],
        &[(1, 10), (1, 1), (1, 1), (1, 4)],
        &[(1, 9_999), (1, 1)],
    ];

    #[test]
    fn a_thousand_workers_split_by_weight_within_three_percent() {
        for split in SPLITS {
            for (farm, miners) in farms(1_000).iter().take(NUMBERED_COUNT).enumerate() {
                let worst = worst(&plan(split), miners);
                assert!(worst <= 0.03, "{split:?}, farm {farm}: {worst}");
            }
        }
    }

    #[test]
    fn workers_without_numbers_split_as_closely_as_chance_lets_them() {
        for count in [1_000, 10_000] {
            // Four standard errors of an even split between two, which no other split exceeds.
            let bound = 4.0 * (0.25 / count as f64).sqrt();
            for miners in &farms(count)[NUMBERED_COUNT..] {
                let worst = worst(&plan(SPLITS[1]), miners);
                assert!(worst <= bound, "{count}: {worst}");
            }
        }
    }

    #[test]
    fn numbered_workers_split_closer_than_chance_would_have_it() {
        const FARMS_COUNT: u32 = 100;
        let plan = plan(&[(1, 1), (1, 1)]);
        let errors = (0..FARMS_COUNT).map(|farm| {
            let miners: Vec<_> =
                (0..1_000).map(|n| MinerKey::of_worker(format!("farm{farm}.rig{n}").as_bytes())).collect();
            worst(&plan, &miners).powi(2)
        });
        let deviation = (errors.sum::<f64>() / f64::from(FARMS_COUNT)).sqrt();
        // Chance alone: sqrt(0.25 / 1000) = 0.0158.
        assert!((0.007..0.0115).contains(&deviation), "{deviation}");
    }

    #[test]
    fn when_a_pool_goes_only_its_miners_move_and_they_come_back() {
        let plan = plan(&[(1, 1), (1, 2), (1, 1), (2, 1)]);
        for miner in farms(250).concat() {
            let before = plan.choose(0, miner, |_| true).expect("a pool");
            for gone in 0..4 {
                let after = plan.choose(0, miner, |pool| pool != gone).expect("a pool");
                assert_eq!(after == before, before != gone);
                assert!(after < 3, "the next priority waits until all of the first are gone");
            }
        }
    }

    #[test]
    fn the_miners_of_a_pool_that_goes_are_shared_by_weight() {
        let plan = plan(&[(1, 5), (1, 1), (1, 3)]);
        let moved: Vec<_> = farms(2_000)
            .concat()
            .into_iter()
            .filter(|&miner| plan.choose(0, miner, |_| true) == Some(0))
            .map(|miner| plan.choose(0, miner, |pool| pool != 0))
            .collect();
        let to_last = moved.iter().filter(|&&pool| pool == Some(2)).count();
        let part = to_last as f64 / moved.len() as f64;
        assert!((part - 0.75).abs() < 0.02, "{part}");
    }

    #[test]
    fn priorities_are_tried_in_order_whatever_the_weights() {
        let plan = plan(&[(2, 10_000), (1, 1), (3, 1), (1, 1)]);
        let miner = MinerKey::of_worker(b"rig");
        let order = plan.in_order(0, miner);
        assert_eq!((order[2], order[3]), (0, 2));
        assert_eq!(order.len(), 4);
        assert_eq!(plan.choose(0, miner, |pool| pool == 2), Some(2));
        assert_eq!(plan.choose(0, miner, |_| false), None);
        assert_eq!(plan.choose(1, miner, |_| true), None, "no such group");
        let wanted = |usable: &[usize]| -> Vec<f64> {
            let mut parts = plan.wanted(0, |pool| usable.contains(&pool));
            parts.sort_by_key(|part| part.pool);
            parts.iter().map(|part| part.wanted).collect()
        };
        assert_eq!(wanted(&[0, 1, 2, 3]), [0.0, 0.5, 0.0, 0.5]);
        assert_eq!(wanted(&[0, 2, 3]), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(wanted(&[0, 2]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(wanted(&[]), [0.0; 4]);
    }

    #[test]
    fn a_pool_of_another_group_is_never_chosen() {
        let group = |name: &str| GroupSettings { name: name.to_owned(), warm_standby: 0 };
        let other = PoolSettings { group: "eu".to_owned(), ..PoolSettings::transparent("eu.example", 1) };
        let first = PoolSettings::transparent("pool.example", 1);
        let plan = Plan::new(&[group("default"), group("eu")], [('d', &first), ('e', &other)]);
        let miner = MinerKey::of_address([10, 0, 0, 1].into());
        assert_eq!((plan.in_order(0, miner), plan.in_order(1, miner)), (vec!['d'], vec!['e']));
    }
}
