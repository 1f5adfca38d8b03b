//! Tables: what each mistake is told as, which source wins, and that the written manual is true.

use std::num::NonZeroUsize;

use super::*;
use crate::settings::{LogFormat, PoolSettings, Secret};

const POOL: &str = "[[pools]]\nurl = \"stratum+tcp://pool.example:3333\"\n";

/// Sources with `text` as `adit.toml`. The directory keeps the file alive.
pub fn with_file(text: &str) -> (tempfile::TempDir, Sources) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("adit.toml");
    std::fs::write(&path, text).expect("written");
    (directory, Sources { file: Some(path), ..Sources::default() })
}

pub fn of_file(text: &str) -> Result<Config, ConfigErrors> {
    let (_directory, sources) = with_file(text);
    load(sources)
}

pub fn of_variables(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    load(Sources { environment, ..Sources::default() })
}

/// What the only mistake of a file is told as, from its line on.
pub fn told(text: &str) -> String {
    let errors = of_file(text).expect_err(text).0;
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    let told = errors[0].to_string();
    told.split_once("adit.toml, ").map(|(_, told)| told.to_owned()).unwrap_or(told)
}

#[test]
fn each_mistake_names_line_column_key_value_and_what_is_allowed() {
    // Each of these lines stands behind two lines that make a valid file, at the top or in a table of its own.
    for (line, message) in [
        (
            "listen = \"localhost:3333\"",
            "line 1, column 10: listen = \"localhost:3333\": \"localhost:3333\" is not an IP address with a port; \
             allowed: addresses with port, such as 0.0.0.0:3333 or [::]:3333, each once",
        ),
        (
            "listen = [\"0.0.0.0:1\", \"[::]\"]",
            "line 1, column 24: listen = \"[::]\": \"[::]\" is not an IP address with a port; allowed: addresses \
             with port, such as 0.0.0.0:3333 or [::]:3333, each once",
        ),
        (
            "listen = []",
            "line 1, column 10: listen = []: it is empty; allowed: addresses with port, such as 0.0.0.0:3333 or \
             [::]:3333, each once",
        ),
        (
            "listen = [\"0.0.0.0:1\", \"0.0.0.0:1\"]",
            "line 1, column 24: listen = \"0.0.0.0:1\": 0.0.0.0:1 is given twice; allowed: addresses with port, \
             such as 0.0.0.0:3333 or [::]:3333, each once",
        ),
        (
            "shards = 0",
            "line 1, column 10: shards = 0: it is out of bounds; allowed: a whole number from 1 to 1024",
        ),
        (
            "shards = \"4\"",
            "line 1, column 10: shards = \"4\": it is text; allowed: a whole number from 1 to 1024",
        ),
        (
            "shards = 1.5",
            "line 1, column 10: shards = 1.5: it is a fraction; allowed: a whole number from 1 to 1024",
        ),
        (
            "shards = 99999999999999999999999999999999999999999",
            "line 1, column 10: shards = 99999999999999999999999999999999999999999: it is a number beyond all \
             bounds; allowed: a whole number from 1 to 1024",
        ),
        ("pin = \"yes\"", "line 1, column 7: pin = \"yes\": it is text; allowed: true or false"),
        (
            "log.format = \"xml\"",
            "line 1, column 14: log.format = \"xml\": there is no such format; allowed: text or json",
        ),
        (
            "log.level = \"info,adit::shard=loud\"",
            "line 1, column 13: log.level = \"info,adit::shard=loud\": `loud` is not a level; levels are off, \
             error, warn, info, debug, trace; allowed: a level (off, error, warn, info, debug, trace), then \
             module=level, as in info,adit::shard=debug",
        ),
        (
            "log.file = \"/var/log/\"",
            "line 1, column 12: log.file = \"/var/log/\": it is a directory; allowed: the path of a file",
        ),
        (
            "ledger.file = \"\"",
            "line 1, column 15: ledger.file = \"\": it is empty; allowed: the path of a file",
        ),
        (
            "admin.listen = \"on\"",
            "line 1, column 16: admin.listen = \"on\": \"on\" is not an IP address with a port; allowed: addresses \
             with port, such as 127.0.0.1:9090, each once, or off",
        ),
        (
            "admin.listen = \"127.0.0.1:3333\"",
            "line 1, column 16: admin.listen = [\"127.0.0.1:3333\"]: miners are awaited there (0.0.0.0:3333); \
             allowed: addresses and ports of their own, or off",
        ),
        (
            "timeouts.connect_ms = 0",
            "line 1, column 23: timeouts.connect_ms = 0: it is out of bounds; allowed: a whole number from 1 to \
             86400000",
        ),
        (
            "limits.connections_per_address_max = 10001",
            "line 1, column 38: limits.connections_per_address_max = 10001: it is more than \
             limits.connections_max; allowed: a whole number from 1 to 10000",
        ),
        (
            "timeout.connect_ms = 5",
            "line 1, column 22: unknown key timeout.connect_ms; did you mean timeouts.connect_ms?",
        ),
        (
            "colour = \"red\"",
            "line 1, column 10: unknown key colour; `adit config init` writes a file with all keys",
        ),
        (
            "listen = 0.0.0.0:3333",
            "line 1, column 13: listen = 0.0.0.0:3333: invalid float, expected nothing; allowed: TOML, as in \
             `key = \"text\"`, `key = 5`, `key = true`",
        ),
    ] {
        assert_eq!(told(&format!("{line}\n{POOL}")), message);
    }
}

#[test]
fn each_mistake_about_a_pool_is_told_with_its_place() {
    for (url, problem) in [
        ("pool.example:3333", "it has no scheme"),
        ("http://pool.example:3333", "the scheme http is unknown"),
        ("stratum+ssl://pool.example:443", "TLS to pools (stratum+ssl) is not there yet"),
        ("stratum+tcp://pool.example", "the port is missing"),
        ("stratum+tcp://pool.example:0", "0 is not a port from 1 to 65535"),
        ("stratum+tcp://pool.example:65536", "65536 is not a port from 1 to 65535"),
        ("stratum+tcp://pool.example:3333/order-1", "a pool URL has no path"),
        ("stratum+tcp://:3333", "\"\" is neither a host name nor an IP address"),
        ("stratum+tcp://po ol:3333", "\"po ol\" is neither a host name nor an IP address"),
        ("stratum+tcp://-pool:3333", "\"-pool\" is neither a host name nor an IP address"),
        ("stratum+tcp://pool..example:3333", "\"pool..example\" is neither a host name nor an IP address"),
        ("stratum+tcp://1.2.3:3333", "\"1.2.3\" is neither a host name nor an IP address"),
        ("stratum+tcp://[::1]", "the port is missing"),
        ("stratum+tcp://::1:3333", "\"::1\" is neither a host name nor an IP address"),
        ("stratum+tcp://[::g]:3333", "\"[::g]\" is neither a host name nor an IP address"),
    ] {
        let message =
            format!("line 2, column 7: pools.0.url = \"{url}\": {problem}; allowed: stratum+tcp://HOST:PORT");
        assert_eq!(told(&format!("[[pools]]\nurl = \"{url}\"\n")), message);
    }
    for (line, message) in [
        (
            "user = \"\"",
            "line 3, column 8: pools.0.user = \"\": the account (user) is empty; allowed: the account",
        ),
        (
            "user = \"a b\"",
            "line 3, column 8: pools.0.user = \"a b\": character ' ' in `a b` cannot be part of",
        ),
        (
            "worker_name = \"{rig}\"",
            "line 3, column 15: pools.0.worker_name = \"{rig}\": unknown placeholder {rig}",
        ),
        (
            "worker_name = \"{account}.x\"",
            "line 3, column 15: pools.0.worker_name = \"{account}.x\": the worker-name",
        ),
        ("uesr = \"a\"", "line 3, column 8: unknown key pools.0.uesr; did you mean pools.0.user?"),
    ] {
        let told = told(&format!("{POOL}{line}\n"));
        assert!(told.starts_with(message), "{told}");
    }
}

#[test]
fn an_account_and_a_template_that_fit_only_apart_are_refused_together() {
    let long = "a".repeat(120);
    let told = told(&format!("{POOL}user = \"{long}\"\n"));
    assert!(told.starts_with("line 3, column 8: pools.0.user = "), "{told}");
    assert!(told.ends_with("allowed: a shorter user"), "{told}");
    // The same account alone fits.
    of_file(&format!("{POOL}user = \"{long}\"\nworker_name = \"{{account}}\"\n")).expect("a valid file");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_places() {
    let (_directory, mut sources) = with_file(
        "lisen = \"x\"\nshards = 0\npin = 1\n[timeouts]\nconnect_ms = -1\nlog = = 3\n[[pools]]\nurl = \"tcp://x:1\"\n",
    );
    sources.environment = vec![
        ("ADIT_LIMITS_CONNECTIONS_MAX".into(), "many".into()),
        ("ADIT_TIMEOUTS_CONECT_MS".into(), "5".into()),
    ];
    sources.flags.set("--admin", "admin.listen", "nowhere");
    let errors = load(sources).expect_err("nothing is right");
    let places: Vec<_> =
        errors.0.iter().map(|error| error.to_string().split(": ").next().map(str::to_owned)).collect();
    let places: Vec<_> =
        places.iter().flatten().map(|place| place.rsplit('/').next().unwrap_or(place)).collect();
    assert_eq!(
        places,
        [
            "adit.toml, line 1, column 9",
            "adit.toml, line 2, column 10",
            "adit.toml, line 3, column 7",
            "adit.toml, line 5, column 14",
            "adit.toml, line 6, column 7",
            "adit.toml, line 8, column 7",
            "environment variable ADIT_LIMITS_CONNECTIONS_MAX",
            "environment variable ADIT_TIMEOUTS_CONECT_MS",
            "flag --admin",
        ]
    );
    assert!(errors.to_string().ends_with("9 errors in the configuration"), "{errors}");
}

#[test]
fn a_mistake_in_a_variable_or_flag_names_it() {
    let errors = of_variables(&[("ADIT_POOLS_0_URL", "stratum+tcp://pool:x")]).expect_err("no port");
    assert_eq!(
        errors.0[0].to_string(),
        "environment variable ADIT_POOLS_0_URL: pools.0.url = \"stratum+tcp://pool:x\": x is not a port from 1 to \
         65535; allowed: stratum+tcp://HOST:PORT"
    );
    let mut flags = Flags::default();
    flags.set("--pool", "pools.0.url", "stratum+tcp://pool:1");
    flags.set_list("--listen", "listen", &["127.0.0.1:1".to_owned(), "x".to_owned()]);
    let errors = load(Sources { flags, ..Sources::default() }).expect_err("no address");
    let told = errors.0[0].to_string();
    assert!(told.starts_with("flag --listen: listen = \"x\": "), "{told}");
}

#[test]
fn a_missing_pool_is_told_with_the_three_ways_to_name_one() {
    let errors = load(Sources::default()).expect_err("no pool");
    assert_eq!(
        errors.to_string(),
        "pools.0.url is missing; give it in the file (--config), by ADIT_POOLS_0_URL, or by --pool; allowed: \
         stratum+tcp://HOST:PORT\n1 error in the configuration"
    );
    // Where the file is broken, it may stand there.
    let errors = of_file("[[pools\nurl = \"stratum+tcp://pool:1\"\n").expect_err("broken").to_string();
    assert!(!errors.contains("is missing"), "{errors}");
}

#[test]
fn no_error_and_no_output_shows_a_password() {
    for text in [
        "[[pools]]\nurl = \"stratum+tcp://me:hunter2@pool:1\"\n",
        "[[pools]]\nurl = \"me:hunter2@pool:1\"\n",
        "[[pools]]\nurl = \"x://y\"\npassword = [\"hunter2\"]\n",
        "[[pools]]\nurl = \"x://y\"\npassword = \"hunter2\\u0000\"\n",
        "[[pools]]\nurl = \"x://y\"\npasword = \"hunter2\"\n",
    ] {
        let told = of_file(text).expect_err(text).to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
    let config = of_file(&format!("{POOL}password = \"hunter2\"\n")).expect("a valid file");
    assert_eq!(config.settings.pools[0].password, Some(Secret::new("hunter2")));
    let shown = as_toml(&config.shown);
    assert!(shown.contains("password = \"***\""), "{shown}");
    assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{shown}");
}

#[test]
fn flags_beat_environment_and_environment_beats_file() {
    let text =
        format!("shards = 1\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n[log]\nlevel = \"error\"\n{POOL}");
    let (_directory, mut sources) = with_file(&text);
    let of = |sources: &Sources| load(sources.clone()).expect("valid").settings;
    assert_eq!(of(&sources).shards.map(NonZeroUsize::get), Some(1));

    sources.environment = vec![
        ("ADIT_SHARDS".into(), "2".into()),
        ("ADIT_LISTEN".into(), "127.0.0.1:3, [::1]:3".into()),
        ("ADIT_POOLS_0_USER".into(), "account".into()),
    ];
    let settings = of(&sources);
    assert_eq!(settings.shards.map(NonZeroUsize::get), Some(2));
    assert_eq!(settings.listeners, ["127.0.0.1:3".parse().unwrap(), "[::1]:3".parse().unwrap()]);
    assert_eq!(
        (settings.pools[0].host.as_str(), settings.pools[0].account.as_deref()),
        ("pool.example", Some("account"))
    );
    assert_eq!(settings.log.levels.to_string(), "error");

    sources.flags.set("--shards", "shards", "3");
    sources.flags.set_list("--listen", "listen", &["127.0.0.1:4".to_owned()]);
    let settings = of(&sources);
    assert_eq!(settings.shards.map(NonZeroUsize::get), Some(3));
    assert_eq!(settings.listeners, ["127.0.0.1:4".parse().unwrap()]);
    assert_eq!(settings.log.levels.to_string(), "error");
}

#[test]
fn a_broken_value_is_told_although_a_stronger_one_stands_before_it() {
    let (_directory, mut sources) = with_file(&format!("shards = 0\n{POOL}"));
    sources.flags.set("--shards", "shards", "3");
    let errors = load(sources).expect_err("the file is broken");
    assert!(errors.to_string().contains("line 1, column 10: shards = 0"), "{errors}");
}

#[test]
fn nothing_but_a_pool_gives_the_documented_defaults() {
    let settings =
        of_variables(&[("ADIT_POOLS_0_URL", "stratum+tcp://Pool.Example:3333/")]).expect("valid").settings;
    assert_eq!(settings, Settings::with_pool(PoolSettings::transparent("pool.example", 3333)));
    assert!(settings.pools[0].name_rule.is_untouched());
}

#[test]
fn hosts_are_names_and_addresses_of_both_kinds() {
    for (url, host) in [
        ("stratum+tcp://10.0.0.1:3334", "10.0.0.1"),
        ("stratum+tcp://[2001:DB8::1]:3334", "2001:db8::1"),
        ("STRATUM+TCP://pool_1.example.:3334", "pool_1.example."),
        ("stratum+tcp://localhost:3334", "localhost"),
        ("stratum+tcp://3pool.example:3334", "3pool.example"),
    ] {
        let settings = of_variables(&[("ADIT_POOLS_0_URL", url)]).expect(url).settings;
        assert_eq!((settings.pools[0].host.as_str(), settings.pools[0].port), (host, 3334));
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let config = of_variables(&[
        ("ADIT_POOLS_0_URL", "stratum+tcp://pool:1"),
        ("ADIT_POOLS_0_USER", "a"),
        ("ADIT_POOLS_0_PASSWORD", "p"),
        ("ADIT_POOLS_0_WORKER_NAME", "{account}.{name}"),
        ("ADIT_PIN", "false"),
        ("ADIT_SHARE_CHECK", "true"),
        ("ADIT_LIMITS_CONNECTIONS_MAX", "7"),
        ("ADIT_TIMEOUTS_DRAIN_MS", "9"),
        ("ADIT_LOG_FORMAT", "json"),
        ("ADIT_LOG_FILE", "/tmp/x"),
        ("ADIT_ADMIN_LISTEN", "off"),
        ("ADIT_LEDGER_FILE", "l.db"),
    ])
    .expect("valid");
    let settings = config.settings;
    assert!(!settings.pin && settings.share_check && settings.admin.is_none());
    assert_eq!(settings.limits.connections_max, 7);
    assert_eq!(settings.limits.connections_per_address_max, 7);
    assert_eq!(settings.timeouts.drain_ms, 9);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.ledger.as_deref(), Some(Path::new("l.db")));
}

#[test]
fn the_written_file_is_valid_and_knows_every_key_with_its_default() {
    let written = of_file(init_text()).expect("the written file is valid");
    let mut expected = PoolSettings::transparent("pool.example", 3333);
    expected.account = Some("account".to_owned());
    expected.name_rule = written.settings.pools[0].name_rule.clone();
    assert_eq!(written.settings, Settings::with_pool(expected));

    // With every key taken out of its comment, all are set, and those that have a default keep it.
    let is_built = |key: &str| cfg!(feature = "sentry") || !key.ends_with("sentry_dsn");
    let is_key = |line: &&str| {
        line.strip_prefix("# ").is_some_and(|rest| {
            rest.starts_with("[[")
                || rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.chars().all(|c| c.is_ascii_lowercase() || c == '_') && is_built(key)
                })
        })
    };
    let all: Vec<_> = init_text().lines().map(|line| if is_key(&line) { &line[2..] } else { line }).collect();
    let all = of_file(&all.join("\n")).expect("every key in the comments is valid");
    assert!(all.settings.routes.len() == 1 && all.shown.len() > written.shown.len());
    for with in all.shown.iter().filter(|with| is_built(&with.key)) {
        assert!(matches!(with.origin, Origin::File { .. }), "{} is not in the written file", with.key);
        let without = written.shown.iter().find(|without| without.key == with.key);
        if let Some(Shown { value: Some(value), .. }) = without {
            assert_eq!(with.value.as_ref(), Some(value), "{}", with.key);
        }
    }
}

#[test]
fn what_is_shown_says_who_set_it_and_reads_as_toml() {
    let (_directory, mut sources) = with_file(&format!("shards = 1\n{POOL}"));
    sources.environment = vec![("ADIT_PIN".into(), "false".into())];
    sources.flags.set("--user", "pools.0.user", "a");
    let shown = as_toml(&load(sources).expect("valid").shown);
    for line in [
        "adit.toml, line 1, column 10",
        "pin = false  # environment variable ADIT_PIN",
        "user = \"a\"  # flag --user",
        "share_check = false  # default",
        "[[pools]]",
        "# file is not set",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    of_file(&shown).unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
}

#[test]
fn no_text_makes_the_reader_panic() {
    let mut texts: Vec<String> =
        vec!["[".repeat(100_000), "a.".repeat(100_000) + "b = 1", "a = ".to_owned() + &"[".repeat(100_000)];
    // Every prefix of the written file, and the file with each byte replaced by one that means something.
    let text = init_text();
    texts.extend((0..text.len()).step_by(7).filter_map(|end| text.get(..end)).map(str::to_owned));
    for (index, byte) in [b'"', b'[', b'=', b'\n', b'{'].into_iter().enumerate() {
        let mut bytes = text.as_bytes().to_vec();
        bytes.iter_mut().skip(index).step_by(11).for_each(|b| *b = byte);
        texts.extend(String::from_utf8(bytes));
    }
    for text in texts {
        let file = file::parse(Path::new("a.toml"), &text);
        let _ = build::build(read::Reader::new(file, Layer::new(), Layer::new(), Vec::new()));
    }
}
