//! The corpora of the fuzz targets, replayed.
#![expect(clippy::disallowed_methods, reason = "reads the corpora")]

use std::fs;
use std::path::Path;

use crate::checks;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file of the corpus"));
        count += 1;
    }
    assert!(count >= 10, "{} has only {count} files", folder.display());
}

#[test]
fn the_corpus_of_the_parser_passes() {
    replay("parser", checks::parser);
}

#[test]
fn the_corpus_of_the_framer_passes() {
    replay("framer", checks::framer);
}
