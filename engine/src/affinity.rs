//! The cores that this process may run on: a container or `taskset` may have taken some away.

use std::fs;

/// Cores beyond this are not looked at.
const CORES_COUNT_MAX: usize = 4096;

/// Numbers of the usable cores, ascending; core 0 if the system does not tell.
pub fn cores() -> Vec<usize> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let cores = parse_list(list.trim());
    if cores.is_empty() { vec![0] } else { cores }
}

/// Reads a list as the kernel writes it, such as `0-3,8,10-11`. What is not understood is left out.
fn parse_list(text: &str) -> Vec<usize> {
    text.split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
        })
        .flatten()
        .take(CORES_COUNT_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_lists() {
        assert_eq!(parse_list("0-3,8,10-11"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("5"), [5]);
        assert!(parse_list("").is_empty());
        assert_eq!(parse_list("x,3-y,7"), [7]);
        assert!(!cores().is_empty());
    }
}
