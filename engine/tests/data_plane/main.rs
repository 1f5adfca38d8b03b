//! The data plane as peers see it: real sockets, a whole Adit in this process.

mod back_pressure;
mod dialling;
mod ends;
mod ledger;
mod serving;
mod support;
