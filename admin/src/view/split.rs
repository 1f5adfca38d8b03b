//! How miners and their hashrate are split among pools, beside how they should be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pool's part among the pools of its group and priority that take miners. All parts are from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// The part that the weights ask for; 0 while the pool takes no miners.
    #[serde(serialize_with = "super::finite")]
    pub wanted: f64,
    /// Workers that are online and mine there.
    pub workers: u64,
    /// The part of the workers that it has.
    pub by_workers: SplitPart,
    /// The part of their hashrate over fifteen minutes that it has.
    pub by_hashrate: SplitPart,
}

/// What came of a wanted part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SplitPart {
    /// The part that it has; 0 where nobody has any.
    #[serde(serialize_with = "super::finite")]
    pub achieved: f64,
    /// By how much that differs from what is wanted by chance: one standard error. Whole workers are placed, not hashes, so
    /// it is the greater the fewer and the more unequal they are.
    #[serde(serialize_with = "super::finite")]
    pub standard_error: f64,
}
