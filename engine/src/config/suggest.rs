//! What was probably meant by a key that does not exist.

use strsim::damerau_levenshtein;

/// The known name nearest to `unknown`: as a whole, or by its last part (a key in the wrong table, or in none).
/// `None` where nothing is near enough to be meant.
pub fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| {
        let whole = damerau_levenshtein(unknown, name);
        let parts = damerau_levenshtein(last_part(unknown), last_part(name)).saturating_add(1);
        let allowed_whole = whole.saturating_mul(4) <= unknown.len().max(4);
        let allowed_parts = (parts - 1).saturating_mul(4) <= last_part(unknown).len();
        let near = match (allowed_whole, allowed_parts) {
            (true, true) => Some(whole.min(parts)),
            (true, false) => Some(whole),
            (false, true) => Some(parts),
            (false, false) => None,
        };
        // Between two equally near ones, the more similar as a whole.
        near.map(|near| (near, whole))
    };
    known.iter().filter_map(|&name| Some((distance(name)?, name))).min().map(|(_, name)| name)
}

/// The part behind the last dot.
pub fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] = [
        "limits.connections_max",
        "listen",
        "log.file",
        "pools.0.timeouts.connect_ms",
        "pools.0.url",
        "pools.0.worker_name",
        "timeouts.connect_ms",
    ];

    #[test]
    fn a_slip_of_the_pen_leads_to_the_key_and_nonsense_leads_nowhere() {
        for (unknown, near) in [
            ("lsiten", Some("listen")),
            ("listeners", None),
            ("timeout.connect_ms", Some("timeouts.connect_ms")),
            ("timeouts.conect_ms", Some("timeouts.connect_ms")),
            ("connections_max", Some("limits.connections_max")),
            ("conections_max", Some("limits.connections_max")),
            ("pools.0.worker-name", Some("pools.0.worker_name")),
            ("url", Some("pools.0.url")),
            ("pool.url", Some("pools.0.url")),
            ("log.files", Some("log.file")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown, &KNOWN), near, "{unknown}");
        }
    }
}
