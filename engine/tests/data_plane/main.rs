//! The data plane as peers see it: real sockets, a whole Adit in this process.

mod back_pressure;
mod blame;
mod dialling;
mod ends;
mod figures;
mod ledger;
mod moved;
mod pools;
mod serving;
mod support;
