//! Log records, from whoever makes them to a file or stderr.

pub mod levels;
