//! Placeholder page, replaced by the crate's own.
