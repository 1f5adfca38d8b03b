//! Every bound of the admin side, in one place.

/// Threads that answer requests.
pub const HANDLERS_COUNT: usize = 3;
/// Addresses to listen on.
pub const ADDRESSES_COUNT_MAX: usize = 8;
