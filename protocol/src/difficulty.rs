//! Difficulty, the number on the wire, and target, the 256-bit bound that a hash must not exceed.
//!
//! Verdicts compare 256-bit integers. Doubles are for display and for the wire's own numbers.

use std::fmt::{self, Write};

use crate::hash::Hash256;
use crate::hex;
use crate::value;

/// Difficulty 1 as a target has these 16 bits above [`ONE_SHIFT`] zero bits: `00000000ffff0000…` (ckpool `libckpool.c`).
const ONE_MANTISSA: u64 = 0xFFFF;
const ONE_SHIFT: usize = 208;
/// Below 2⁻³² every target is beyond 256 bits; this is safely below.
const EASIEST: f64 = 1e-10;
/// Sign bit of the mantissa in `nbits`: no valid target has it.
const NBITS_SIGN: u32 = 0x0080_0000;
/// Difficulty 1 as a double: 0xFFFF·2²⁰⁸, exactly.
const ONE: f64 = 26_959_535_291_011_309_493_156_476_344_723_991_336_010_898_738_574_164_086_137_773_096_960.0;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// A 256-bit bound: a hash meets it if, as a number, it is not larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target([u64; 4]); // most significant limb first, so that the derived order is the numbers' order

impl Target {
    /// Met by every hash.
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// `floor(D1 / difficulty)`, exactly; [`Target::MAX`] where that needs more than 256 bits.
    ///
    /// The divisor is the shortest decimal that reads back as `difficulty`: the number as the pool wrote it. So 0.001 is a
    /// thousandth here, not the nearest double, and the result does not rise when the difficulty does.
    /// `None` unless the difficulty is finite and above zero.
    pub fn from_difficulty(difficulty: f64) -> Option<Self> {
        if !(difficulty.is_finite() && difficulty > 0.0) {
            return None;
        }
        if difficulty < EASIEST {
            return Some(Self::MAX);
        }
        let (digits, exponent) = decimal(difficulty)?;
        // Two limbs of room above 256 bits: 10^27 at most, since `digits` has 17 at most and difficulty is above 1e-10.
        let mut limbs = [0; 6];
        limbs[2] = ONE_MANTISSA << (ONE_SHIFT - 192);
        for _ in exponent..0 {
            multiply_by_ten(&mut limbs);
        }
        divide(&mut limbs, digits);
        for _ in 0..exponent {
            divide(&mut limbs, 10);
        }
        let [above, higher, rest @ ..] = limbs;
        Some(if above == 0 && higher == 0 { Self(rest) } else { Self::MAX })
    }

    /// The target a block's `nbits` stand for: exponent byte and 23-bit mantissa. `None` where Bitcoin Core refuses it too:
    /// negative, zero, or beyond 256 bits.
    pub fn from_nbits(nbits: u32) -> Option<Self> {
        let mantissa = nbits & (NBITS_SIGN - 1);
        if nbits & NBITS_SIGN != 0 {
            return None;
        }
        let mut bytes = [0; 32];
        let exponent = (nbits >> 24) as usize;
        for (place, byte) in mantissa.to_be_bytes().into_iter().skip(1).enumerate() {
            // Bytes counted from the least significant one; what falls below zero is cut off.
            let Some(significance) = exponent.checked_sub(place + 1) else { continue };
            match 31usize.checked_sub(significance) {
                Some(index) => bytes[index] = byte,
                None if byte == 0 => {}
                None => return None,
            }
        }
        Some(Self::from_be_bytes(bytes)).filter(|target| *target != Self([0; 4]))
    }

    /// Reads 32 bytes, most significant first, as 64 digits of [`Display`](fmt::Display) spell them.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        let (limbs, _) = bytes.as_chunks::<8>();
        let mut target = [0; 4];
        for (limb, bytes) in target.iter_mut().zip(limbs) {
            *limb = u64::from_be_bytes(*bytes);
        }
        Self(target)
    }

    /// The lowest target that `hash` meets: the number it is.
    #[inline]
    pub fn from_hash(hash: &Hash256) -> Self {
        let mut bytes = hash.0;
        bytes.reverse();
        Self::from_be_bytes(bytes)
    }

    /// Whether `hash` is good enough.
    #[inline]
    pub fn is_met_by(&self, hash: &Hash256) -> bool {
        Self::from_hash(hash) <= *self
    }

    /// The difficulty of this bound, for display: rounded to a double.
    pub fn difficulty(&self) -> f64 {
        ONE / to_f64(self.0).max(1.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|limb| hex::write(f, limb.to_be_bytes().iter()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The difficulty that `hash` reaches, for display: rounded to a double.
pub fn of_hash(hash: &Hash256) -> f64 {
    Target::from_hash(hash).difficulty()
}

/// The param of `mining.set_difficulty`: a JSON number, finite and above zero.
pub fn from_wire(raw: &[u8]) -> Option<f64> {
    value::number(raw).filter(|&difficulty| difficulty > 0.0)
}

/// The shortest decimal that reads back as `number`: its digits, and the power of ten they are multiplied with.
fn decimal(number: f64) -> Option<(u64, i32)> {
    let mut text = Text { bytes: [0; 32], len: 0 };
    write!(text, "{number:e}").ok()?;
    let text = std::str::from_utf8(text.bytes.get(..text.len)?).ok()?;
    let (mantissa, exponent) = text.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes()).fold(0, |n, digit| n * 10 + u64::from(digit & 15));
    Some((digits, exponent.parse::<i32>().ok()? - fraction.len() as i32))
}

/// A few characters without the heap.
struct Text {
    bytes: [u8; 32],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// `limbs *= 10`, most significant limb first.
fn multiply_by_ten(limbs: &mut [u64]) {
    let mut carry = 0;
    for limb in limbs.iter_mut().rev() {
        let product = u128::from(*limb) * 10 + carry;
        *limb = product as u64;
        carry = product >> 64;
    }
    debug_assert_eq!(carry, 0);
}

/// `limbs = floor(limbs / divisor)`, most significant limb first. `divisor` is not zero.
fn divide(limbs: &mut [u64], divisor: u64) {
    let mut rest = 0;
    for limb in limbs {
        let dividend = (rest << 64) | u128::from(*limb);
        *limb = (dividend / u128::from(divisor)) as u64;
        rest = dividend % u128::from(divisor);
    }
}

fn to_f64(limbs: [u64; 4]) -> f64 {
    limbs.into_iter().fold(0.0, |sum, limb| sum * TWO_POW_64 + limb as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(difficulty: f64) -> Target {
        Target::from_difficulty(difficulty).unwrap()
    }

    #[test]
    fn the_targets_that_pools_use_come_out_exactly() {
        for (difficulty, prefix, rest) in [
            (0.001, "000003e7fc18", "0"),
            (1.0, "00000000ffff", "0"),
            (0.5, "00000001fffe", "0"),
            (1000.0, "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28", ""),
            (16384.0, "000000000003fffc", "0"),
            (524_288.0, "0000000000001fffe", "0"),
            (3.0, "0000000055550000", "0"),
            (7.0, "000000002492249249249249249249249249249249249249249249249249249", "2"),
            (1e68, "", "0"),
            (1e-10, "", "f"),
            (f64::MIN_POSITIVE, "", "f"),
            (f64::MAX, "", "0"),
        ] {
            let expected = prefix.to_owned() + &rest.repeat(64 - prefix.len());
            assert_eq!(target(difficulty).to_string(), expected, "{difficulty}");
        }
    }

    #[test]
    fn what_is_no_difficulty_has_no_target() {
        for difficulty in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Target::from_difficulty(difficulty), None, "{difficulty}");
        }
    }

    #[test]
    fn the_wire_carries_plain_positive_numbers() {
        for (raw, difficulty) in [("16384", 16384.0), ("0.001", 0.001), ("1e3", 1000.0), ("2.5E-1", 0.25)] {
            assert_eq!(from_wire(raw.as_bytes()), Some(difficulty), "{raw}");
        }
        for raw in [
            "", "0", "0.0", "-1", "1e999", "inf", "nan", "\"1\"", "null", "true", "[1]", "+1", "1x", "01",
            ".",
        ] {
            assert_eq!(from_wire(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn nbits_are_read_as_bitcoin_core_reads_them() {
        // Cases of Bitcoin Core's arith_uint256_tests.cpp, bignum_SetCompact, and the two of the share vectors.
        for (nbits, expected) in [
            (0x1b04_864c, "000000000004864c".to_owned() + &"0".repeat(48)),
            (0x1703_4219, "0".repeat(18) + "034219" + &"0".repeat(40)),
            (0x207f_ffff, "7fffff".to_owned() + &"0".repeat(58)),
            (0x0112_3456, "0".repeat(62) + "12"),
            (0x0212_3456, "0".repeat(60) + "1234"),
            (0x0312_3456, "0".repeat(58) + "123456"),
            (0x0412_3456, "0".repeat(56) + "12345600"),
            (0x0500_9234, "0".repeat(56) + "92340000"),
            (0x2012_3456, "123456".to_owned() + &"0".repeat(58)),
            (0x2100_1234, "1234".to_owned() + &"0".repeat(60)),
            (0x2200_0012, "12".to_owned() + &"0".repeat(62)),
        ] {
            assert_eq!(Target::from_nbits(nbits).unwrap().to_string(), expected, "{nbits:08x}");
        }
        for nbits in
            [0, 0x0012_3456, 0x0100_3456, 0x0200_0056, 0x0492_3456, 0x04ff_ffff, 0x2112_3456, 0xff12_3456]
        {
            assert_eq!(Target::from_nbits(nbits), None, "{nbits:08x}");
        }
    }

    #[test]
    fn a_hash_meets_its_own_value_and_nothing_below() {
        let hash = Hash256::from_display("000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506")
            .unwrap();
        let limbs = Target::from_hash(&hash).0;
        assert!(Target(limbs).is_met_by(&hash));
        assert!(!Target([limbs[0], limbs[1], limbs[2], limbs[3] - 1]).is_met_by(&hash));
        assert!(Target([limbs[0], limbs[1] + 1, 0, 0]).is_met_by(&hash));
        assert!(!Target([limbs[0], limbs[1] - 1, u64::MAX, u64::MAX]).is_met_by(&hash));
        assert!(Target::MAX.is_met_by(&Hash256([0xff; 32])));
    }

    #[test]
    fn difficulties_for_display_are_as_precise_as_a_double() {
        let hash = Hash256::from_display("000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506")
            .unwrap();
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 4.0 * f64::EPSILON;
        assert!(close(of_hash(&hash), 17_583.056_276_040_857));
        assert!(close(Target::from_nbits(0x1b04_864c).unwrap().difficulty(), 14_484.162_361_225_399));
        assert_eq!(
            of_hash(&Hash256::default()).to_string(),
            ONE.to_string(),
            "finite even for the hash nobody finds"
        );
    }

    proptest! {
        #[test]
        fn a_higher_difficulty_never_has_a_higher_target(a in 1e-9..1e16f64, step in 0u64..4) {
            let b = f64::from_bits(a.to_bits() + step);
            prop_assert!(target(b) <= target(a));
            prop_assert!(target(a.ceil()) <= target(a) && target(a) <= target(a.floor().max(1e-9)));
        }

        #[test]
        fn target_and_difficulty_are_inverse_within_a_double(difficulty in 1e-9..1e16f64) {
            let back = target(difficulty).difficulty();
            prop_assert!((back / difficulty - 1.0).abs() < 1e-15, "{} {}", difficulty, back);
        }

        #[test]
        fn a_hash_meets_the_target_of_a_lower_difficulty_only(bytes: [u8; 32], zeros in 4usize..8) {
            let mut hash = Hash256(bytes);
            hash.0[32 - zeros..].fill(0);
            prop_assert!(target(of_hash(&hash) * 0.999_999).is_met_by(&hash));
            prop_assert!(!target(of_hash(&hash) * 1.000_001).is_met_by(&hash));
        }

        #[test]
        fn targets_are_shown_as_they_are_read(bytes: [u8; 32]) {
            prop_assert_eq!(Target::from_be_bytes(bytes).to_string(), hex::encode(&bytes));
        }
    }
}
