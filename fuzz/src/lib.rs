//! The checks of the fuzz targets. They live beside the tests that replay the corpora.

#[path = "../../protocol/tests/parsing/checks.rs"]
pub mod checks;
#[path = "../../protocol/tests/parsing/reference.rs"]
pub mod reference;
#[path = "../../protocol/tests/rig/mod.rs"]
pub mod rig;
