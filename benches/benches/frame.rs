//! Time per message of framing: lines whole in their receives, and the few that are split between two.
#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use adit_benches::lines::{LINES_COUNT, LineKind, Lines};
use adit_benches::passes;
use adit_protocol::framer::{BufferPool, PoolFramer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A receive, as the engine's buffers have it, and pieces smaller than most lines.
const PIECES: [(&str, usize); 2] = [("4096", 4096), ("100", 100)];

fn frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(LINES_COUNT as u64));
    for (name, piece) in PIECES {
        for kind in LineKind::ALL {
            let mut lines = Lines::of(kind);
            let (mut framer, mut spare) = (PoolFramer::default(), BufferPool::default());
            let expected = (lines.bytes_count() - LINES_COUNT) as u64;
            group.bench_function(format!("{} in receives of {name}", kind.name()), |bencher| {
                bencher
                    .iter(|| assert_eq!(passes::frame(&mut lines, piece, &mut framer, &mut spare), expected));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, frame);
criterion_main!(benches);
