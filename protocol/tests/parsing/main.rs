//! Framer and parser against plain readers of the same bytes: `split` at line feeds, and `serde_json`.

mod checks;
mod corpora;
mod exhaustive;
mod framing;
mod grammar;
mod hostile;
mod reference;
