#![forbid(unsafe_code)]
//! What the benchmarks share: lines of the kinds that pass through a proxy all day, and the passes over them that are
//! measured. Each pass returns a sum over what it saw, so that nothing is optimised away and every run can check its
//! answer against [`lines::Lines::expected`]. Criterion measures time (`cargo bench`), `scripts/parse-gates` instructions.

pub mod lines;
pub mod passes;
pub mod way;
