//! Weighted rendezvous hashing: every miner draws a lot for every pool, and goes where it waits least.
//!
//! A miner and a pool together make a number `u`, even over 0..1 and the same in every process on every machine. The miner
//! goes to the pool with the smallest `-log2(u) / weight`. Those are exponential waiting times, so a pool gets its weight's
//! part of the miners; and since a pool's numbers do not depend on the other pools, only the miners of a pool that goes
//! move, to others by weight, and come back with it.
//!
//! Farms number their machines. So that a few hundred of them split closer to the weights than chance would have it, `u` is
//! not drawn anew for each number in a name: sixteen consecutive numbers (`n / 16` the same) get one draw each out of
//! the sixteen sixteenths of 0..1, in an order that the rest of the name, `n / 16` and the pool decide (Latin hypercube
//! sampling: each draw by itself is as even as before, and the split between two pools errs 1.7 times less).
//!
//! What is hashed, by FNV-1a with 64 bits and the finisher of splitmix64: `w`, the name up to its last run of digits, a 0
//! byte and what follows the run, whose number counts on its own; or `a` and all bytes but the last of an address, which is
//! the number; or `p` and the name of the pool. Changing any of it moves most miners of most farms once, at the next start.
//!
//! Not here: which pools may be chosen at all.

use std::net::IpAddr;

/// Consecutive numbers that get one draw out of each part of the range.
const STRATA_COUNT: usize = 16;
/// Most digits in a name that count as its number; with more, all of it is text.
const DIGITS_COUNT_MAX: usize = 18;
/// Binary digits behind the point of [`Wait`]'s logarithm. Its whole part takes 7 more.
const FRACTION_BITS: u32 = 57;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a miner is told apart by: it stays with its pool as long as this stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinerKey {
    /// Everything but the number.
    text: u64,
    number: u64,
}

impl MinerKey {
    /// By the name that the miner gave, the raw bytes between the JSON quotes.
    pub fn of_worker(name: &[u8]) -> Self {
        let end = name.iter().rposition(u8::is_ascii_digit).map_or(0, |last| last + 1);
        let (head, after) = name.split_at(end);
        let start = head.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
        let (before, digits) = head.split_at(start);
        if digits.len() > DIGITS_COUNT_MAX {
            return Self { text: hash(b'w', name), number: 0 };
        }
        let number = digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
        Self { text: hash(b'w', before.iter().chain(&[0]).chain(after)), number }
    }

    /// By the address, while the name is not known.
    pub fn of_address(address: IpAddr) -> Self {
        let of = |bytes: &[u8]| match bytes.split_last() {
            Some((last, network)) => Self { text: hash(b'a', network), number: u64::from(*last) },
            None => Self { text: hash(b'a', []), number: 0 },
        };
        match address.to_canonical() {
            IpAddr::V4(v4) => of(&v4.octets()),
            IpAddr::V6(v6) => of(&v6.octets()),
        }
    }

    /// The miner's `u` at a pool, in units of 2^-64.
    fn draw(self, pool: PoolSeed) -> u64 {
        let strata = STRATA_COUNT as u64;
        let mut random = mix(self.text ^ mix(pool.0) ^ mix((self.number / strata).wrapping_add(GOLDEN)));
        let mut order: [u8; STRATA_COUNT] = std::array::from_fn(|at| at as u8);
        for at in (1..STRATA_COUNT).rev() {
            random = mix(random.wrapping_add(GOLDEN));
            order.swap(at, (random % (at as u64 + 1)) as usize);
        }
        let at = (self.number % strata) as usize;
        let stratum = u64::from(order.get(at).copied().unwrap_or_default());
        let within = mix(random ^ mix(self.number ^ pool.0));
        stratum * (u64::MAX / strata + 1) + within / strata
    }
}

/// What a pool is told apart by: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSeed(u64);

impl PoolSeed {
    /// Of the pool with this name.
    pub fn of(name: &str) -> Self {
        Self(hash(b'p', name.as_bytes()))
    }
}

/// How long a miner waits for a pool; it goes where it is least.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// `-log2(u)` in units of 2^-57.
    log: u64,
    weight: u32,
}

impl Wait {
    /// The miner's wait for a pool of this weight.
    pub fn new(miner: MinerKey, pool: PoolSeed, weight: u32) -> Self {
        Self { log: negative_log2(miner.draw(pool)), weight }
    }

    /// Whether it is less than the other. Exactly: nothing is divided.
    pub fn is_less_than(self, other: Self) -> bool {
        u128::from(self.log) * u128::from(other.weight) < u128::from(other.log) * u128::from(self.weight)
    }
}

/// `-log2((draw + 1) / 2^64)` in units of 2^-57, by squaring: the same on every machine, which `f64::ln` does not promise.
fn negative_log2(draw: u64) -> u64 {
    let Some(argument) = draw.checked_add(1) else { return 0 };
    let whole = argument.ilog2();
    // Between 1 and 2, in units of 2^-63.
    let mut mantissa = u128::from(argument << (63 - whole));
    let mut fraction = 0_u64;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (u64::from(64 - whole) << FRACTION_BITS) - fraction
}

/// FNV-1a over a letter and bytes, and then mixed, for FNV alone leaves similar texts with similar high bits.
fn hash<'a>(letter: u8, bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    let next = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    mix(bytes.into_iter().fold(next(FNV_OFFSET, letter), |hash, &byte| next(hash, byte)))
}

/// The finisher of splitmix64: every bit of the argument moves every bit of the result.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_the_logarithm() {
        let unit = (1_u64 << FRACTION_BITS) as f64;
        let draws =
            (0..64).flat_map(|shift| [1_u64 << shift, u64::MAX >> shift, 0xdead_beef_cafe_f00d >> shift]);
        for draw in draws.chain([0, u64::MAX]) {
            let exact = 64.0 - (draw as f64 + 1.0).log2();
            let found = negative_log2(draw) as f64 / unit;
            assert!((found - exact).abs() < 1e-12, "{draw}: {found}, not {exact}");
        }
        assert_eq!((negative_log2(u64::MAX), negative_log2(0)), (0, 64 << FRACTION_BITS));
        // It never rises, so that of two draws the greater always wins at equal weights.
        let near = |draw: u64| negative_log2(draw) <= negative_log2(draw - 1);
        assert!((1..2_000).chain(u64::MAX - 2_000..u64::MAX).chain((1 << 63) - 9..(1 << 63) + 9).all(near));
    }

    #[test]
    fn sixteen_consecutive_numbers_draw_from_all_sixteenths() {
        for (prefix, pool) in [("farm.rig", "a"), ("farm.rig", "b"), ("x", "a"), ("", "a")] {
            for block in [0, 1, 62, 1_000_000] {
                let draws = (block * 16..block * 16 + 16)
                    .map(|number| MinerKey::of_worker(format!("{prefix}{number}").as_bytes()))
                    .map(|miner| miner.draw(PoolSeed::of(pool)) >> 60);
                let mut strata: Vec<_> = draws.collect();
                strata.sort_unstable();
                assert_eq!(strata, (0..16).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn draws_of_unlike_names_are_even_and_know_nothing_of_each_other() {
        const DRAWS_COUNT: u32 = 20_000;
        let pools = ["a", "b"].map(PoolSeed::of);
        let mut cells = [0_u32; 64];
        for n in 0..DRAWS_COUNT {
            let miner = MinerKey::of_worker(format!("{:x}.rig", mix(n.into())).as_bytes());
            let [a, b] = pools.map(|pool| (miner.draw(pool) >> 61) as usize);
            cells[a * 8 + b] += 1;
        }
        let wanted = f64::from(DRAWS_COUNT) / 64.0;
        let chi_square: f64 = cells.iter().map(|&count| (f64::from(count) - wanted).powi(2) / wanted).sum();
        // 63 degrees of freedom: mean 63, deviation 11.
        assert!((25.0..110.0).contains(&chi_square), "{chi_square}");
    }

    #[test]
    fn the_hash_is_the_documented_one_and_stays_so() {
        assert_eq!(MinerKey::of_worker(b"rig007"), MinerKey::of_worker(b"rig7"));
        assert_ne!(MinerKey::of_worker(b"rig7"), MinerKey::of_worker(b"rig8"));
        assert_ne!(MinerKey::of_worker(b"rig7.x"), MinerKey::of_worker(b"rig8.x"));
        assert_ne!(MinerKey::of_worker(b"rig7x"), MinerKey::of_worker(b"rigx7"));
        // Twenty digits are text, not a number that would overflow.
        assert_ne!(
            MinerKey::of_worker(b"99999999999999999999"),
            MinerKey::of_worker(b"99999999999999999998")
        );
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        assert_eq!(MinerKey::of_address(mapped), MinerKey::of_address([10, 0, 0, 1].into()));
        // Recorded once: other numbers would send miners elsewhere after an upgrade.
        let draws = [
            MinerKey::of_worker(b"account.rig1").draw(PoolSeed::of("pool.example:3333")),
            MinerKey::of_worker(b"account").draw(PoolSeed::of("main")),
            MinerKey::of_address([10, 0, 0, 1].into()).draw(PoolSeed::of("main")),
        ];
        let recorded = [17_204_624_009_457_932_930, 7_737_123_449_578_200_443, 14_020_226_908_395_310_862];
        assert_eq!(draws, recorded);
    }
}
