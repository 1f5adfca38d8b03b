//! Worker names: what a miner calls itself becomes what the pool hears.
//!
//! A [`NameRule`] holds the operator's account and [`Template`]; a [`NameTable`] applies it and keeps different miners
//! apart, so that two names never become one by cleaning. Called at authorize only, hence the allocations.
//!
//! Names are the raw bytes between the JSON quotes, escapes included. A name made by a template holds nothing that JSON
//! would have to escape; a name left untouched is passed on exactly as it came.
//!
//! Not here: which names a session has authorised, and what the pool said to them.

mod rule;
mod table;

pub use rule::{NameRule, TEMPLATE_DEFAULT, Template, TemplateError};
pub use table::{NameError, NameTable};
