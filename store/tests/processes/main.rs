//! Tests that need processes of their own: kill -9, full disks, a stalled disk, a second writer.
//!
//! No test harness: the same program is the parent, which checks, and the child, which writes. The children's memory and
//! limits are theirs alone, so the tests run one after the other and say what they saw.

mod child;
mod crash;
#[path = "../common/disk_witness.rs"]
mod disk_witness;
mod full;
mod parent;
mod stall;

/// Name and body of each test.
const TESTS: [(&str, fn()); 6] = [
    ("killed_at_any_moment", crash::killed_at_any_moment),
    ("the_check_catches_a_sink_that_does_not_commit", crash::the_check_catches_a_sink_that_does_not_commit),
    ("a_second_process_is_refused", crash::a_second_process_is_refused),
    ("a_file_size_limit_and_then_none", full::a_file_size_limit_and_then_none),
    ("a_full_disk_and_then_space", full::a_full_disk_and_then_space),
    ("a_writer_that_stalls_for_ten_seconds", stall::a_writer_that_stalls_for_ten_seconds),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == child::ARGUMENT) {
        return child::main(&arguments[1..]);
    }
    let is_listing = arguments.iter().any(|argument| argument == "--list");
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (name, test) in TESTS {
        if is_listing {
            println!("{name}: test");
        } else if filters.is_empty() || filters.iter().any(|&filter| name.contains(filter)) {
            test();
            println!("test {name} ... ok");
        }
    }
}
