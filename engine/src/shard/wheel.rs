//! A shard's timers: one per slot of the pair table, set and cleared in constant time, however many there are.
//!
//! A hierarchy of four wheels with 64 places each, as kernels have it. A place is a list through `nodes`, so setting a
//! timer allocates nothing. A timer rings at its moment or up to one tick (4 ms) later, never earlier.

use adit_protocol::moment::Moment;

/// A tick is 2^12 µs.
const TICK_BITS: u32 = 12;
const LEVELS: usize = 4;
const PLACE_BITS: u32 = 6;
const PLACES: usize = 1 << PLACE_BITS;
/// Timers further away than this (about 18 h) are kept here and set again when it comes.
const TICKS_MAX: u64 = (1 << (PLACE_BITS * LEVELS as u32)) - (1 << (PLACE_BITS * (LEVELS as u32 - 1)));
const NONE: u32 = u32::MAX;

/// Where the timer of a slot stands.
#[derive(Clone, Copy, Debug)]
struct Node {
    next: u32,
    previous: u32,
    /// Index into `heads`; `NONE` when no timer is set.
    place: u32,
    tick: u64,
}

/// The timers of all slots.
///
/// Invariant: bit p of `occupied[level]` is set exactly when the list of that place is not empty; every timer set is
/// later than `now`.
#[derive(Debug)]
pub struct Wheel {
    now: u64,
    occupied: [u64; LEVELS],
    heads: [u32; LEVELS * PLACES],
    nodes: Vec<Node>,
}

impl Wheel {
    /// No timer set.
    pub fn new(now: Moment) -> Self {
        Self {
            now: now.0 >> TICK_BITS,
            occupied: [0; LEVELS],
            heads: [NONE; LEVELS * PLACES],
            nodes: Vec::new(),
        }
    }

    /// Sets the timer of `slot`, in place of an earlier one. [`Moment::NEVER`] clears it.
    pub fn set(&mut self, slot: u32, at: Moment) {
        self.clear(slot);
        if at == Moment::NEVER {
            return;
        }
        if self.nodes.len() <= slot as usize {
            let unset = Node { next: NONE, previous: NONE, place: NONE, tick: 0 };
            self.nodes.resize(slot as usize + 1, unset);
        }
        self.insert(slot, at.0.div_ceil(1 << TICK_BITS));
    }

    /// Clears the timer of `slot`.
    pub fn clear(&mut self, slot: u32) {
        let Some(&Node { next, previous, place, .. }) = self.nodes.get(slot as usize) else { return };
        if place == NONE {
            return;
        }
        if previous == NONE {
            self.heads[place as usize] = next;
            if next == NONE {
                self.occupied[place as usize / PLACES] &= !(1 << (place as usize % PLACES));
            }
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        self.nodes[slot as usize].place = NONE;
    }

    /// When [`Wheel::ring`] has something to do next: at or before the earliest timer.
    pub fn next(&self) -> Moment {
        match self.next_place() {
            Some((_, tick)) => Moment(tick << TICK_BITS),
            None => Moment::NEVER,
        }
    }

    /// Appends the slots whose timers have come to `rung`; they are cleared. When the first of them was due, `NEVER` if
    /// none has come: [`Wheel::next`] may be long before that where nobody looked for long.
    pub fn ring(&mut self, now: Moment, rung: &mut Vec<u32>) -> Moment {
        let target = (now.0 >> TICK_BITS).max(self.now);
        let mut first = Moment::NEVER;
        while let Some((place, tick)) = self.next_place()
            && tick <= target
        {
            self.now = tick;
            let mut slot = std::mem::replace(&mut self.heads[place], NONE);
            self.occupied[place / PLACES] &= !(1 << (place % PLACES));
            while slot != NONE {
                let node = &mut self.nodes[slot as usize];
                let (this, due) = (slot, node.tick);
                slot = node.next;
                node.place = NONE;
                if due <= self.now {
                    rung.push(this);
                    first = first.min(Moment(due << TICK_BITS));
                } else {
                    self.insert(this, due);
                }
            }
        }
        self.now = target;
        first
    }

    /// Puts the timer of a slot that has none where it belongs, seen from `now`.
    fn insert(&mut self, slot: u32, tick: u64) {
        let tick = tick.max(self.now + 1);
        let kept_until = tick.min(self.now + TICKS_MAX);
        let highest_bit = ((kept_until ^ self.now) | 1).ilog2();
        let level = ((highest_bit / PLACE_BITS) as usize).min(LEVELS - 1);
        let place = (kept_until >> (PLACE_BITS * level as u32)) as usize % PLACES;
        self.occupied[level] |= 1 << place;
        let place = level * PLACES + place;
        let next = std::mem::replace(&mut self.heads[place], slot);
        if next != NONE {
            self.nodes[next as usize].previous = slot;
        }
        self.nodes[slot as usize] = Node { next, previous: NONE, place: place as u32, tick };
    }

    /// The place whose turn is next, and its tick. Lower levels come first: theirs all end before the next of a higher one.
    fn next_place(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let shift = PLACE_BITS * level as u32;
        let here = (self.now >> shift) % PLACES as u64;
        let ahead = u64::from(self.occupied[level].rotate_right(here as u32).trailing_zeros());
        let place = (here + ahead) % PLACES as u64;
        let tick = ((self.now >> shift) + ahead) << shift;
        Some((level * PLACES + place as usize, tick))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Times that stress the borders of all levels; a linear congruential generator is random enough.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        fn delay(&mut self) -> u64 {
            let bits = self.below(40);
            self.below(1 << bits.min(30)) << bits.saturating_sub(30)
        }
    }

    #[test]
    fn agrees_with_a_sorted_list_over_long_random_runs() {
        for seed in 0..200 {
            let mut random = Random(seed);
            let mut now = random.delay();
            let mut wheel = Wheel::new(Moment(now));
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for _ in 0..400 {
                let slot = random.below(40) as u32;
                match random.below(4) {
                    0 => {
                        wheel.clear(slot);
                        model.remove(&slot);
                    }
                    1 | 2 => {
                        let at = now + random.delay();
                        wheel.set(slot, Moment(at));
                        model.insert(slot, at);
                    }
                    _ => {
                        let jump = random.below(2) == 0;
                        now = if jump || wheel.next() == Moment::NEVER {
                            now + random.delay()
                        } else {
                            wheel.next().0.max(now)
                        };
                        let mut rung = Vec::new();
                        wheel.ring(Moment(now), &mut rung);
                        for slot in rung {
                            let at = model.remove(&slot).expect("rang without being set");
                            assert!(at <= now, "seed {seed}: rang {} µs early", at - now);
                        }
                    }
                }
                let tick = 1 << TICK_BITS;
                let earliest = model.values().min().map_or(u64::MAX, |at| at + tick);
                assert!(earliest > now, "seed {seed}: a timer is late by {} µs", now - earliest);
                assert!(wheel.next().0 <= earliest, "seed {seed}");
                assert_eq!(wheel.next() == Moment::NEVER, model.is_empty(), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_far_timer_costs_few_wake_ups() {
        let mut wheel = Wheel::new(Moment(0));
        let at = Moment(3_600_000_000);
        wheel.set(0, at);
        let (mut rung, mut wake_ups) = (Vec::new(), 0);
        while rung.is_empty() {
            let next = wheel.next();
            wheel.ring(next, &mut rung);
            wake_ups += 1;
            assert!(next.0 < at.0 + (1 << TICK_BITS));
        }
        assert!(wake_ups <= LEVELS, "{wake_ups}");
    }

    #[test]
    fn a_timer_set_after_a_long_rest_is_not_told_late() {
        let mut wheel = Wheel::new(Moment(0));
        let now = 20_000_000;
        let at = Moment(now + 1_000_000);
        wheel.set(0, at);
        let mut rung = Vec::new();
        assert!(wheel.next().0 < now, "seen from the start it stands in a coarse place");
        let mut looked_at = now;
        loop {
            let due = wheel.ring(Moment(looked_at), &mut rung);
            if rung.is_empty() {
                assert_eq!(due, Moment::NEVER);
                // Whoever waits for it is up a little late each time.
                looked_at = wheel.next().0 + 100;
                continue;
            }
            assert!((at.0..at.0 + (1 << TICK_BITS)).contains(&due.0) && looked_at == due.0 + 100, "{due:?}");
            break;
        }
    }

    #[test]
    fn a_moment_in_the_past_rings_at_the_next_tick() {
        let mut wheel = Wheel::new(Moment(1 << 30));
        wheel.set(5, Moment(3));
        assert_eq!(wheel.next(), Moment((1 << 30) + (1 << TICK_BITS)));
        let mut rung = Vec::new();
        wheel.ring(wheel.next(), &mut rung);
        assert_eq!(rung, [5]);
        assert_eq!(wheel.next(), Moment::NEVER);
    }
}
