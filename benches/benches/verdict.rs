//! Time per message of parsing a pool's answer and reading its verdict.
#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use adit_benches::lines::{LINES_COUNT, LineKind, Lines};
use adit_benches::passes;
use adit_protocol::parse::Parser;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn verdict(criterion: &mut Criterion) {
    let all = LINES_COUNT as u64;
    let mut group = criterion.benchmark_group("verdict");
    group.throughput(Throughput::Elements(all));
    for (name, kind, expected) in
        [("accepted", LineKind::Response, (all, 0)), ("rejected", LineKind::Reject, (0, all))]
    {
        let mut lines = Lines::of(kind);
        let mut parser = Parser::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(passes::judge(&mut lines, &mut parser), expected));
        });
    }
    group.finish();
}

criterion_group!(benches, verdict);
criterion_main!(benches);
