//! Time per message of `Parser::parse`, line by line.
#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use adit_benches::lines::{LINES_COUNT, LineKind, Lines};
use adit_benches::passes;
use adit_protocol::parse::Parser;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(LINES_COUNT as u64));
    for kind in LineKind::ALL {
        let mut lines = Lines::of(kind);
        let mut parser = Parser::new();
        let expected = lines.expected();
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| assert_eq!(passes::parse(&mut lines, &mut parser), expected));
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
