//! Job ids of ours, for jobs whose pool's own id could be taken for another pool's.
//!
//! Two pools do use the same ids, and a miner may submit for a job of any age. So nothing that is remembered of earlier ids
//! would be enough: a session that told its miner a pool's own ids tells ids of ours from the next pool on, each once. They
//! have a form that no pool's id is passed down in: a pool's id that has it (or may have it, being written with escapes)
//! gets one of ours from the start. So a share for an id of ours is for that job and no other, and a share for any other id
//! is for a job of the miner's first pool.

use super::JobKey;
use crate::limits::JOBS_COUNT_MAX;
use crate::raw_id::RawId;

/// What ids of ours begin with; hexadecimal digits of a number follow. Pools' own ids are hexadecimal or decimal as a rule.
const PREFIX: u8 = b'z';
/// Aliases kept before those of forgotten jobs are looked for: as many jobs as are known at most, and some more.
const KEPT_COUNT_MAX: usize = 2 * JOBS_COUNT_MAX + 8;

/// The ids of ours that a miner may still use.
#[derive(Debug, Default)]
pub struct Aliases {
    /// In the order of their numbers.
    kept: Vec<Alias>,
    last_number: u32,
}

#[derive(Debug)]
struct Alias {
    number: u32,
    /// The key of our id.
    key: JobKey,
    /// The pool's id, raw JSON.
    theirs: RawId,
}

/// An id of ours, raw JSON, without the heap.
#[derive(Clone, Copy, Debug)]
pub struct OurId {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl OurId {
    /// Two quotes, the prefix, and eight digits.
    const BYTES_MAX: usize = 11;

    fn new(number: u32) -> Self {
        let mut id = Self { bytes: [b'"'; Self::BYTES_MAX], len: 0 };
        let digits = (1..=8).rev().skip_while(|nth| *nth > 1 && number >> (4 * (nth - 1)) == 0);
        let digits = digits.map(|nth| b"0123456789abcdef"[(number >> (4 * (nth - 1))) as usize & 0xf]);
        let text = [b'"', PREFIX].into_iter().chain(digits).chain([b'"']);
        for (place, byte) in id.bytes.iter_mut().zip(text) {
            *place = byte;
            id.len += 1;
        }
        id
    }

    /// The text with its quotes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Aliases {
    /// Whether a pool's id, raw JSON, could be taken for one of ours.
    #[inline]
    pub fn resembles(raw: &[u8]) -> bool {
        raw.get(1) == Some(&PREFIX) || memchr::memchr(b'\\', raw).is_some()
    }

    /// A new id of ours, raw JSON, for the job that the pool calls `theirs`. Where there are many, those are forgotten that
    /// `is_known` does not know any more.
    #[cold]
    pub fn give(&mut self, theirs: &[u8], is_known: impl Fn(JobKey) -> bool) -> (JobKey, OurId) {
        if self.kept.len() >= KEPT_COUNT_MAX {
            self.kept.retain(|alias| is_known(alias.key));
        }
        loop {
            self.last_number = self.last_number.wrapping_add(1);
            let number = self.last_number;
            let id = OurId::new(number);
            let key = JobKey::of_raw(id.as_bytes()).unwrap_or_default();
            // Another id with the same key would make this job forgotten.
            if !is_known(key) {
                self.kept.push(Alias { number, key, theirs: RawId::keep(theirs) });
                return (key, id);
            }
        }
    }

    /// The pool's own id, raw JSON, of the job that the miner calls so. Exact: not by the key.
    #[cold]
    pub fn theirs(&self, raw: &[u8]) -> Option<&[u8]> {
        let digits = raw.strip_prefix(&[b'"', PREFIX])?.strip_suffix(b"\"")?;
        let is_canonical = digits.first() != Some(&b'0')
            && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let text = std::str::from_utf8(digits).ok().filter(|_| is_canonical)?;
        let number = u32::from_str_radix(text, 16).ok()?;
        let at = self.kept.binary_search_by_key(&number, |alias| alias.number).ok()?;
        self.kept.get(at).map(|alias| alias.theirs.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_given_once_and_leads_back_to_the_pools_own() {
        let mut aliases = Aliases::default();
        let (key, first) = aliases.give(b"\"5\"", |_| false);
        let (_, second) = aliases.give(b"\"5\"", |_| false);
        assert_eq!([first.as_bytes(), second.as_bytes()], [b"\"z1\"", b"\"z2\""]);
        assert_eq!(key, JobKey::of(b"z1"));
        assert_eq!(aliases.theirs(first.as_bytes()), Some(&b"\"5\""[..]));
        for other in
            ["\"z3\"", "\"z01\"", "\"Z1\"", "\"z+1\"", "\"z\"", "\"5\"", "5", "", "\"z1", "\"z100000001\""]
        {
            assert_eq!(aliases.theirs(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_pools_id_of_our_form_is_noticed_however_it_is_written() {
        for ours in ["\"z1\"", "\"zebra\"", r#""\u007a1""#, r#""6f\u0033a""#] {
            assert!(Aliases::resembles(ours.as_bytes()), "{ours}");
        }
        for theirs in ["\"6f3a\"", "\"1z\"", "17", "\"\"", ""] {
            assert!(!Aliases::resembles(theirs.as_bytes()), "{theirs}");
        }
    }

    #[test]
    fn only_ids_of_known_jobs_are_kept_where_there_are_many() {
        let mut aliases = Aliases::default();
        let newest = |count: u32| {
            move |key| {
                (count.saturating_sub(3)..=count).any(|n| JobKey::of(format!("z{n:x}").as_bytes()) == key)
            }
        };
        for n in 1..=1_000_u32 {
            let (_, id) = aliases.give(n.to_string().as_bytes(), newest(n - 1));
            assert_eq!(aliases.theirs(id.as_bytes()), Some(n.to_string().as_bytes()));
            assert!(aliases.kept.len() <= KEPT_COUNT_MAX);
        }
        assert_eq!(aliases.theirs(b"\"z1\""), None);
        assert_eq!(aliases.theirs(b"\"z3e5\""), Some(&b"997"[..]), "the older ones of those that are known");
    }

    #[test]
    fn ids_of_ours_are_hexadecimal_without_leading_zeros() {
        for number in [0, 1, 0xf, 0x10, 0x0ab0, 0x00ff_ffff, 0x8000_0000, u32::MAX] {
            assert_eq!(OurId::new(number).as_bytes(), format!("\"z{number:x}\"").as_bytes());
        }
    }

    #[test]
    fn giving_an_id_allocates_nothing_once_there_were_many() {
        let mut aliases = Aliases::default();
        (0..4 * KEPT_COUNT_MAX).for_each(|_| _ = aliases.give(b"\"6f3a\"", |_| false));
        let allocations = allocation_counter::measure(|| _ = aliases.give(b"\"6f3b\"", |_| false));
        assert_eq!(allocations.count_total, 0);
    }

    #[test]
    fn a_key_that_is_taken_is_passed_over() {
        let mut aliases = Aliases::default();
        let taken = JobKey::of(b"z1");
        let (_, id) = aliases.give(b"\"5\"", |key| key == taken);
        assert_eq!(id.as_bytes(), b"\"z2\"");
    }
}
