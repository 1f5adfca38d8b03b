//! Which events a listener wants.

use std::fmt;

use super::{Event, Kind};
use crate::query::{Query, QueryError};

/// Wanted kinds, worker and pool; all of them must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Wanted kinds; empty is every kind.
    kinds: Vec<Kind>,
    worker: Option<String>,
    pool: Option<String>,
}

impl Filter {
    /// Reads `kinds=share,switch`, `worker=NAME` and `pool=NAME`.
    pub fn parse(query: &Query) -> Result<Self, QueryError> {
        let mut kinds = Vec::new();
        for name in query.text("kinds").into_iter().flat_map(|list| list.split(',')) {
            match Kind::ALL.into_iter().find(|kind| kind.label() == name) {
                Some(kind) => kinds.push(kind),
                None => return Err(QueryError::value("kinds", name, Allowed)),
            }
        }
        let owned = |name| query.text(name).map(str::to_owned);
        Ok(Self { kinds, worker: owned("worker"), pool: owned("pool") })
    }

    /// Whether the listener wants this one.
    pub fn wants(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind()))
            && self.worker.as_deref().is_none_or(|worker| event.worker() == Some(worker))
            && self.pool.as_deref().is_none_or(|pool| event.is_about_pool(pool))
    }
}

struct Allowed;

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kinds, separated by commas: ")?;
        for (n, kind) in Kind::ALL.into_iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { ", " }, kind.label())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Filter {
        Filter::parse(&Query::parse(query, &["kinds", "worker", "pool"]).unwrap()).unwrap()
    }

    fn switch(worker: &str) -> Event {
        Event::Switch {
            worker: Some(worker.into()),
            from: "a".into(),
            to: "b".into(),
            reason: "operator".into(),
            live: true,
            took_ms: 3,
        }
    }

    #[test]
    fn everything_asked_for_must_fit() {
        assert!(filter("").wants(&switch("w")));
        assert!(filter("kinds=job,switch&worker=w&pool=b").wants(&switch("w")));
        assert!(!filter("kinds=job").wants(&switch("w")));
        assert!(!filter("worker=v").wants(&switch("w")));
        assert!(!filter("pool=c").wants(&switch("w")));
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_known_ones() {
        let query = Query::parse("kinds=shares", &["kinds"]).unwrap();
        let error = Filter::parse(&query).unwrap_err().to_string();
        assert!(
            error.contains("shares") && error.contains("share,") && error.contains("limit_hit"),
            "{error}"
        );
    }
}
