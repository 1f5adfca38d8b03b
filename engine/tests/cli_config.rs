//! `adit config` as an operator uses it: the built binary, its output and its exit codes.

use std::process::{Command, Output};

const WRONG_CONFIGURATION: Option<i32> = Some(2);
const FAILED: Option<i32> = Some(1);

/// Runs `adit` with `arguments`, without the variables of whoever runs the tests.
fn adit(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ADIT_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).output().expect("adit runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn path(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_string_lossy().into_owned()
}

#[test]
fn a_written_file_passes_the_check_and_is_never_overwritten() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = path(&directory, "adit.toml");
    let output = adit(&["config", "init", "--output", &file], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = adit(&["config", "check", &file], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "valid\n");

    std::fs::write(&file, "# mine\n").expect("written");
    let output = adit(&["config", "init", "--output", &file], &[]);
    assert_eq!(output.status.code(), FAILED);
    assert!(stderr(&output).contains("exists"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "# mine\n");
}

#[test]
fn without_a_file_to_write_to_the_text_goes_to_stdout() {
    let output = adit(&["config", "init"], &[]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), adit::config::init_text());
}

#[test]
fn a_wrong_configuration_ends_with_2_and_all_mistakes_at_once() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = path(&directory, "adit.toml");
    std::fs::write(&file, "shards = 0\n[limits]\nconections_max = 5\n").expect("written");
    let output = adit(
        &["config", "show", "--config", &file, "--pool", "stratum+ssl://pool:443"],
        &[("ADIT_PIN", "perhaps")],
    );
    assert_eq!(output.status.code(), WRONG_CONFIGURATION);
    assert_eq!(stdout(&output), "");
    let told = stderr(&output);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    for (line, part) in lines.iter().zip([
        "line 1, column 10: shards = 0: it is out of bounds; allowed: a whole number from 1 to 1024",
        "line 3, column 18: unknown key limits.conections_max; did you mean limits.connections_max?",
        "environment variable ADIT_PIN: pin = \"perhaps\": it is neither; allowed: true or false",
        "flag --pool: pools.0.url = \"stratum+ssl://pool:443\": TLS to pools (stratum+ssl) is not there yet",
        "4 errors in the configuration",
    ]) {
        assert!(line.contains(part), "{part}\n{told}");
    }
}

#[test]
fn the_file_of_adit_config_is_read_where_no_flag_names_one() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (one, two) = (path(&directory, "one.toml"), path(&directory, "two.toml"));
    let pool = "[[pools]]\nurl = \"stratum+tcp://pool:1\"\n";
    std::fs::write(&one, format!("shards = 1\n{pool}")).expect("written");
    std::fs::write(&two, format!("shards = 2\n{pool}")).expect("written");
    let shown = |arguments: &[&str]| stdout(&adit(arguments, &[("ADIT_CONFIG", &one)]));
    assert!(shown(&["config", "show"]).contains("shards = 1  # "));
    assert!(shown(&["config", "show", "--config", &two]).contains("shards = 2  # "));
}

#[test]
fn a_repeated_pool_flag_names_further_pools_and_the_last_user_is_for_all_that_follow() {
    let told = |arguments: &[&str]| {
        let output = adit(&[&["config", "show"], arguments].concat(), &[]);
        assert_eq!(output.status.code(), WRONG_CONFIGURATION);
        let mistakes = stderr(&output);
        let keys = mistakes.lines().filter_map(|line| line.split_once(" = "));
        keys.map(|(key, _)| key.to_owned()).collect::<Vec<_>>()
    };
    // Nothing tells which pool a flag is for as plainly as a mistake in it.
    let pools = ["--pool", "stratum+tcp://a:1", "--pool", "x", "--pool", "stratum+tcp://c:1", "--pool", "y"];
    assert_eq!(told(&pools), ["flag --pool: pools.1.url", "flag --pool: pools.3.url"]);
    let users = [
        "--pool",
        "x",
        "--pool",
        "stratum+tcp://b:1",
        "--pool",
        "stratum+tcp://c:1",
        "--user",
        "a",
        "--user",
        "b c",
    ];
    assert_eq!(
        told(&users),
        ["flag --pool: pools.0.url", "flag --user: pools.1.user", "flag --user: pools.2.user"]
    );
}

#[test]
fn pools_of_the_command_line_fail_over_in_their_order() {
    let pools = ["--pool", "stratum+tcp://a:1", "--pool", "stratum+tcp://b:1", "--user", "me"];
    let output = adit(&[&["config", "show"][..], &pools].concat(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = stdout(&output);
    let lines = |start: &str| shown.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    assert_eq!(
        lines("url = "),
        ["url = \"stratum+tcp://a:1\"  # flag --pool", "url = \"stratum+tcp://b:1\"  # flag --pool"]
    );
    assert_eq!(lines("user = "), ["user = \"me\"  # flag --user"; 2]);
    assert_eq!(lines("priority = "), ["priority = 1  # default", "priority = 2  # default"]);
}

#[test]
fn a_check_explains_which_pools_a_miner_gets() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = path(&directory, "adit.toml");
    std::fs::write(&file, "[[pools]]\nurl = \"stratum+tcp://pool:1\"\n").expect("written");
    let explain = |question: &str| adit(&["config", "check", &file, "--explain", question], &[]);
    let output = explain("farm.rig1@10.0.0.1");
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stdout(&output);
    assert!(told.starts_with("valid\n\nfarm.rig1 from 10.0.0.1 by 0.0.0.0:3333:\n"), "{told}");
    assert!(told.contains("1. pool:1, stratum+tcp://pool:1, priority 1\n"), "{told}");
    let several = "[[pools]]\nurl = \"stratum+tcp://pool:1\"\n[[pools]]\nurl = \"stratum+tcp://eu:1\"\ngroup = \"eu\"\n\
                   [[routes]]\ngroup = \"eu\"\nworker = \"farm.*\"\n";
    std::fs::write(&file, several).expect("written");
    let told = stdout(&explain("farm.rig1@10.0.0.1"));
    assert!(told.contains("routes.0 holds: worker = \"farm.*\"\n  group eu, pools"), "{told}");
    assert!(told.contains("1. eu:1, stratum+tcp://eu:1, priority 1\n"), "{told}");
    for (question, told) in [
        ("farm.rig1", "no IP address follows an @"),
        ("farm.rig1@10.0.0.1,listener=10.0.0.1:1", "10.0.0.1:1 is not in listen; allowed: 0.0.0.0:3333"),
    ] {
        let output = explain(question);
        assert_eq!(output.status.code(), WRONG_CONFIGURATION);
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

#[test]
fn what_is_shown_names_who_set_it_and_hides_the_password() {
    let output = adit(
        &[
            "config",
            "show",
            "--pool",
            "stratum+tcp://pool:1",
            "--no-pin",
            "--set",
            "limits.connections_max=7",
        ],
        &[("ADIT_POOLS_0_PASSWORD", "hunter2"), ("ADIT_SHARDS", "3")],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = stdout(&output);
    for line in [
        "shards = 3  # environment variable ADIT_SHARDS",
        "pin = false  # flag --no-pin",
        "connections_max = 7  # flag --set",
        "password = \"***\"  # environment variable ADIT_POOLS_0_PASSWORD",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = adit(&["config", "check", "/nonexistent/adit.toml"], &[]);
    assert_eq!(output.status.code(), WRONG_CONFIGURATION);
    assert!(
        stderr(&output).contains("/nonexistent/adit.toml: cannot be read: No such file"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_command_line_ends_with_2_and_the_version_is_told() {
    for arguments in [&["frobnicate"][..], &["config", "show", "--set", "shards"], &[]] {
        assert_eq!(adit(arguments, &[]).status.code(), WRONG_CONFIGURATION, "{arguments:?}");
    }
    let output = adit(&["--version"], &[]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), format!("adit {}\n", env!("CARGO_PKG_VERSION")));
}
