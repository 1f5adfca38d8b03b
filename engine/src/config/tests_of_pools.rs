//! Tests of what is said about pools, groups, routes and failover: each mistake's words, and what a right file becomes.

use super::tests::{of_file, of_variables, told, with_file};
use super::*;
use crate::settings::PoolTimeouts;

const POOL: &str = "[[pools]]\nurl = \"stratum+tcp://pool.example:3333\"\n";
const TWO: &str = "[[pools]]\nurl = \"stratum+tcp://two.example:3333\"\n";

#[test]
fn each_mistake_in_a_pool_names_its_place_and_what_is_allowed() {
    let number = "allowed: a whole number from";
    for (line, message) in [
        ("name = \"\"", "column 8: pools.0.name = \"\": it has 0 characters; allowed: 1 to 261 letters, digits and . _ - : [ ]".to_owned()),
        ("name = \"my pool\"", "column 8: pools.0.name = \"my pool\": it holds ' '; allowed: letters, digits and . _ - : [ ]".to_owned()),
        ("name = 5", "column 8: pools.0.name = 5: it is a number; allowed: letters, digits and . _ - : [ ]".to_owned()),
        ("group = \"eu/west\"", "column 9: pools.0.group = \"eu/west\": it holds '/'; allowed: letters, digits and . _ - : [ ]".to_owned()),
        ("priority = 0", format!("column 12: pools.0.priority = 0: it is out of bounds; {number} 1 to 1000")),
        ("weight = 0", format!("column 10: pools.0.weight = 0: it is out of bounds; {number} 1 to 10000")),
        ("enabled = \"no\"", "column 11: pools.0.enabled = \"no\": it is text; allowed: true or false".to_owned()),
        ("timeouts = 5", "column 12: unknown key pools.0.timeouts; it is a table, of keys such as pools.0.timeouts.connect_ms".to_owned()),
        ("timeouts.silence_ms = 0", format!("column 23: pools.0.timeouts.silence_ms = 0: it is out of bounds; {number} 1 to 86400000")),
        ("timeouts.silense_ms = 1", "column 23: unknown key pools.0.timeouts.silense_ms; did you mean pools.0.timeouts.silence_ms?".to_owned()),
        ("wieght = 1", "column 10: unknown key pools.0.wieght; did you mean pools.0.weight?".to_owned()),
    ] {
        assert_eq!(told(&format!("{POOL}{line}\n")), format!("line 3, {message}"));
    }
}

#[test]
fn each_mistake_between_pools_and_groups_names_one_of_them() {
    for (text, message) in [
        (
            POOL.to_owned(),
            "line 4, column 7: pools.1.url = \"stratum+tcp://pool.example:3333\": pools.0 is called \
             pool.example:3333 too; allowed: a pools.1.name of its own",
        ),
        (
            "name = \"a\"\n[[pools]]\nname = \"a\"\nurl = \"stratum+tcp://b:1\"\n".to_owned(),
            "line 5, column 8: pools.1.name = \"a\": pools.0 is called a too; allowed: a pools.1.name of its own",
        ),
        (
            "[[pools]]\n".to_owned(),
            "line 3, column 1: pools.1.url is missing; give it in the file (--config), by ADIT_POOLS_1_URL, or by \
             --pool; allowed: stratum+tcp://HOST:PORT",
        ),
        (
            format!("{TWO}weight = 2\n"),
            "line 5, column 10: pools.1.weight = 2: weights count among pools of equal priority, and no other pool of \
             group default has priority 2; allowed: the same priority at the pools that share the miners",
        ),
        (
            "group = \"eu\"\n".to_owned(),
            "line 3, column 9: pools.0.group = \"eu\": no pool is in group default, where miners go that no route \
             matches; allowed: default at one pool or more, or a last route without conditions",
        ),
        (
            "[[groups]]\nname = \"eu\"\n".to_owned(),
            "line 4, column 8: groups.0.name = \"eu\": no pool is in this group; allowed: a group of pools: default",
        ),
        (
            "[[groups]]\nname = \"default\"\n[[groups]]\nname = \"default\"\n".to_owned(),
            "line 6, column 8: groups.1.name = \"default\": groups.0 has this name too; allowed: each group once",
        ),
        (
            "[[groups]]\nwarm_standby = 1\n".to_owned(),
            "line 3, column 1: groups.0.name is missing; give it in the file (--config), by ADIT_GROUPS_0_NAME, or by \
             --set groups.0.name=NAME; allowed: letters, digits and . _ - : [ ]",
        ),
        (
            "[[groups]]\nname = \"default\"\nwarm_standby = 65\n".to_owned(),
            "line 5, column 16: groups.0.warm_standby = 65: it is out of bounds; allowed: a whole number from 0 to 64",
        ),
    ] {
        assert_eq!(told(&format!("{POOL}{text}")), message);
    }
}

#[test]
fn each_mistake_in_a_route_names_its_place_and_what_is_allowed() {
    let route = "[[routes]]\ngroup = \"default\"\n";
    let paths = "a path such as /order-1, or HOST:PORT for miners that send CONNECT, of visible ASCII characters but \", \
                 \\, ? and #";
    let neither = "it neither starts with / nor names a host and a port";
    let networks = "a network such as 10.1.0.0/16 or 2001:db8::/32, or an IP address";
    for (line, message) in [
        (
            "listener = \"0.0.0.0:4444\"",
            "column 12: routes.0.listener = \"0.0.0.0:4444\": 0.0.0.0:4444 is not in listen; allowed: 0.0.0.0:3333"
                .to_owned(),
        ),
        (
            "listener = \"eth0\"",
            "column 12: routes.0.listener = \"eth0\": \"eth0\" is not an IP address with a port; allowed: one of the \
             addresses in listen"
                .to_owned(),
        ),
        ("path = \"order-1\"", format!("column 8: routes.0.path = \"order-1\": {neither}; allowed: {paths}")),
        ("path = \"a/b:80\"", format!("column 8: routes.0.path = \"a/b:80\": {neither}; allowed: {paths}")),
        ("path = \"pool:http\"", format!("column 8: routes.0.path = \"pool:http\": {neither}; allowed: {paths}")),
        ("path = \"/a b\"", format!("column 8: routes.0.path = \"/a b\": it holds ' '; allowed: {paths}")),
        (
            "worker = \"\"",
            "column 10: routes.0.worker = \"\": it is empty; allowed: a worker's name, * for any characters and ? for \
             one, such as farm1.*"
                .to_owned(),
        ),
        (
            "network = \"10.1.2.3/16\"",
            format!(
                "column 11: routes.0.network = \"10.1.2.3/16\": its address has bits behind the network's; the network \
                 is 10.1.0.0/16; allowed: {networks}"
            ),
        ),
        (
            "network = \"farm\"",
            format!("column 11: routes.0.network = \"farm\": \"farm\" is not an IP address; allowed: {networks}"),
        ),
    ] {
        assert_eq!(told(&format!("{POOL}{route}{line}\n")), format!("line 5, {message}"));
    }
    let long = format!("/{}", "a".repeat(255));
    let message = told(&format!("{POOL}{route}path = \"{long}\"\n"));
    assert!(message.ends_with(&format!(": it has 256 bytes; allowed: {paths}")), "{message}");
    for (text, message) in [
        (
            "[[routes]]\npath = \"/a\"\n".to_owned(),
            "line 3, column 1: routes.0.group is missing; give it in the file (--config), by ADIT_ROUTES_0_GROUP, or by \
             --set routes.0.group=NAME; allowed: a group of pools: default",
        ),
        (
            "[[routes]]\ngroup = \"eu\"\npath = \"/a\"\n".to_owned(),
            "line 4, column 9: routes.0.group = \"eu\": no pool is in this group; allowed: a group of pools: default",
        ),
        (
            format!("{route}{route}path = \"/a\"\n"),
            "line 6, column 9: routes.1.group = \"default\": no miner comes so far: routes.0 holds for all that this one \
             would; allowed: this route before the other, or other conditions",
        ),
        (
            format!("{route}path = \"/a\"\n{route}path = \"/a\"\n"),
            "line 7, column 9: routes.1.group = \"default\": no miner comes so far: routes.0 holds for all that this one \
             would; allowed: this route before the other, or other conditions",
        ),
        ("[[route]]\n".to_owned(), "line 3, column 1: unknown key route; did you mean routes?"),
    ] {
        assert_eq!(told(&format!("{POOL}{text}")), message);
    }
}

#[test]
fn a_mistake_is_not_blamed_on_a_second_key() {
    // The second route differs from the first by the condition that cannot be read.
    let route = "[[routes]]\ngroup = \"default\"\npath = \"/a\"\n";
    assert!(told(&format!("{POOL}{route}{route}network = \"x\"\n")).contains("routes.1.network"));
    // What there is to listen on is not known.
    let listener = "[[routes]]\ngroup = \"default\"\nlistener = \"0.0.0.0:1\"\n";
    assert!(told(&format!("listen = \"x\"\n{POOL}{listener}")).contains("listen = \"x\""));
}

#[test]
fn adit_is_not_its_own_pool() {
    let pool = |host: &str, listen: &str| {
        of_file(&format!("listen = [\"{listen}\"]\n[[pools]]\nurl = \"stratum+tcp://{host}\"\n"))
    };
    for (host, listen) in [
        ("127.0.0.1:3333", "127.0.0.1:3333"),
        ("127.0.0.1:3333", "0.0.0.0:3333"),
        ("localhost:3333", "0.0.0.0:3333"),
        ("localhost:3333", "127.0.0.1:3333"),
        ("[::1]:3333", "[::]:3333"),
        ("10.0.0.7:3333", "10.0.0.7:3333"),
    ] {
        let told = pool(host, listen).expect_err("refused").to_string();
        assert!(told.contains("pools.0.url") && told.contains("Adit itself listens on"), "{told}");
    }
    for (host, listen) in [
        ("127.0.0.1:3334", "127.0.0.1:3333"),
        ("127.0.0.2:3333", "127.0.0.1:3333"),
        ("10.0.0.8:3333", "0.0.0.0:3333"),
        ("pool.example:3333", "0.0.0.0:3333"),
    ] {
        pool(host, listen).expect("another place");
    }
}

#[test]
fn the_shortest_backoff_is_not_longer_than_the_longest() {
    for (lines, message) in [
        (
            "backoff_min_ms = 60001",
            "line 4, column 18: failover.backoff_min_ms = 60001: the shortest backoff is longer than the longest; \
             allowed: at most 60000, or a longer failover.backoff_max_ms",
        ),
        (
            "backoff_max_ms = 999",
            "line 4, column 18: failover.backoff_max_ms = 999: the shortest backoff is longer than the longest; \
             allowed: at least 1000, or a shorter failover.backoff_min_ms",
        ),
        (
            "failures_count = 0",
            "line 4, column 18: failover.failures_count = 0: it is out of bounds; allowed: a whole number from 1 to 1000000",
        ),
        (
            "grace_ms = 86400001",
            "line 4, column 12: failover.grace_ms = 86400001: it is out of bounds; allowed: a whole number from 0 to \
             86400000",
        ),
    ] {
        assert_eq!(told(&format!("{POOL}[failover]\n{lines}\n")), message);
    }
}

#[test]
fn an_empty_table_is_unknown_unless_keys_of_it_are_known() {
    for (text, key) in [
        ("[bogus]\n", "line 3, column 1: unknown key bogus; `adit config init`"),
        ("[timeout]\n", "line 3, column 1: unknown key timeout; `adit config init`"),
        ("[bogus.inner]\n", "line 3, column 1: unknown key bogus.inner; `adit config init`"),
        ("inner = {}\n", "line 3, column 9: unknown key pools.0.inner; did you mean pools.0.user?"),
    ] {
        let told = told(&format!("{POOL}{text}"));
        assert!(told.starts_with(key), "{told}");
    }
    for text in ["[log]\n", "[limits]\n[failover]\n", "[pools.timeouts]\n", "timeouts = {}\n"] {
        of_file(&format!("{POOL}{text}")).unwrap_or_else(|errors| panic!("{text}: {errors}"));
    }
}

#[test]
fn too_many_pools_are_told_once() {
    let pools: Vec<_> = (0..=300).map(|n| format!("[[pools]]\nurl = \"stratum+tcp://p{n}:1\"\n")).collect();
    let told = told(&pools.concat());
    assert!(told.ends_with(": pools.256 = …: there are too many; allowed: at most 256 pools"), "{told}");
    let errors = of_variables(&[
        ("ADIT_POOLS_0_URL", "stratum+tcp://pool:1"),
        ("ADIT_POOLS_256_URL", "stratum+tcp://pool:1"),
        ("ADIT_POOLS_99999999999999999999_URL", "stratum+tcp://pool:1"),
    ])
    .expect_err("an index beyond all bounds");
    assert_eq!(errors.0.len(), 2, "{errors}");
}

#[test]
fn pools_keep_their_order_and_fail_over_in_it_unless_told_otherwise() {
    let settings = of_file(&format!(
        "listen = [\"0.0.0.0:1\", \"0.0.0.0:2\"]\n[timeouts]\nconnect_ms = 7\nfirst_job_ms = 8\n\
         {POOL}user = \"me\"\ntimeouts = {{ silence_ms = 9 }}\n\
         {TWO}name = \"two\"\ngroup = \"eu\"\nenabled = false\n\
         [[pools]]\nurl = \"stratum+tcp://[::1]:1\"\n\
         [[groups]]\nname = \"eu\"\nwarm_standby = 3\n\
         [[routes]]\ngroup = \"eu\"\nlistener = \"0.0.0.0:2\"\npath = \"/order-1\"\nworker = \"farm1.*\"\n\
         network = \"10.1.0.0/16\"\n\
         [failover]\nhold_ms = 5\nfailures_count = 2\n"
    ))
    .expect("valid")
    .settings;
    let pools: Vec<_> = settings
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.group.as_str(), pool.priority, pool.weight, pool.enabled))
        .collect();
    assert_eq!(
        pools,
        [
            ("pool.example:3333", "default", 1, 1, true),
            ("two", "eu", 1, 1, false),
            ("[::1]:1", "default", 2, 1, true)
        ]
    );
    let own = PoolTimeouts {
        connect_ms: 7,
        handshake_reply_ms: 10_000,
        submit_reply_ms: 15_000,
        silence_ms: 9,
        first_job_ms: 8,
    };
    assert_eq!(settings.pools[0].timeouts, own);
    assert_eq!(settings.pools[1].timeouts, PoolTimeouts { silence_ms: 120_000, ..own });
    let groups: Vec<_> =
        settings.groups.iter().map(|group| (group.name.as_str(), group.warm_standby)).collect();
    assert_eq!(groups, [("default", 0), ("eu", 3)]);
    let route = &settings.routes[0];
    assert_eq!((route.group.as_str(), route.path.as_deref()), ("eu", Some("/order-1")));
    assert_eq!(route.listener, Some("0.0.0.0:2".parse().expect("an address")));
    assert!(route.worker.as_ref().is_some_and(|worker| worker.matches(b"farm1.rig")));
    assert!(route.network.is_some_and(|network| network.contains([10, 1, 2, 3].into())));
    assert_eq!((settings.failover.hold_ms, settings.failover.failures_count), (5, 2));
}

#[test]
fn no_pool_needs_the_default_group_where_the_last_route_holds_for_all() {
    let settings =
        of_file(&format!("{POOL}group = \"eu\"\n[[routes]]\ngroup = \"eu\"\n")).expect("valid").settings;
    assert!(settings.routes[0].is_catch_all());
}

#[test]
fn several_pools_are_shown_so_that_they_read_as_the_same() {
    let text = format!(
        "{POOL}user = \"a\"\npriority = 1\nweight = 2\ntimeouts.silence_ms = 9\n{TWO}priority = 1\n\
         [[groups]]\nname = \"default\"\n[[routes]]\ngroup = \"default\"\nworker = \"*\"\nnetwork = \"::/0\"\n"
    );
    let first = of_file(&text).expect("valid");
    let shown = as_toml(&first.shown);
    assert!(shown.contains("worker_name = \"{account}.{worker}\"  # default"), "{shown}");
    assert!(shown.contains("\n[pools.timeouts]\n"), "{shown}");
    let second = of_file(&shown).unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
    assert_eq!(first.settings, second.settings);
}

#[test]
fn variables_and_flags_reach_every_pool() {
    let (_directory, mut sources) = with_file(POOL);
    sources.environment = vec![("ADIT_POOLS_1_URL".into(), "stratum+tcp://b:1".into())];
    sources.flags.set("--set", "pools.1.timeouts.silence_ms", "5");
    sources.flags.set("--set", "pools.1.name", "b");
    let settings = load(sources).expect("valid").settings;
    assert_eq!((settings.pools[1].name.as_str(), settings.pools[1].timeouts.silence_ms), ("b", 5));
}
