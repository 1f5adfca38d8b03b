//! A build without error reporting does not pretend to report.
#![cfg(not(feature = "sentry"))]

use std::process::Command;

#[test]
fn a_build_without_error_reporting_refuses_to_be_told_where_to() {
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["config", "check"])
        .env("ADIT_POOLS_0_URL", "stratum+tcp://pool.example:3333")
        .env("ADIT_LOG_SENTRY_DSN", "http://publickey@sentry.example/1")
        .output()
        .expect("adit runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("log.sentry_dsn") && told.contains("built without error reporting"), "{told}");
    assert!(!told.contains("publickey"), "{told}");
}
