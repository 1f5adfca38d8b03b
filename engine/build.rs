//! Tells the program which compiler made it, and from which commit.

use std::path::Path;
use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    // Not ADIT_…: cargo hands it to programs it runs, and Adit takes such variables for configuration.
    println!("cargo:rustc-env=BUILT_WITH_RUSTC={}", said_by(&rustc, &["--version"]).unwrap_or_default());
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    // Who packages it says the commit. A build to be used asks git; one for tests must not be made anew for each commit.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if std::env::var_os("BUILD_COMMIT").is_none()
        && is_release
        && let Some(commit) = said_by("git", &["rev-parse", "--short=12", "HEAD"])
        && let Some(log) = said_by("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rustc-env=BUILD_COMMIT={commit}");
        println!("cargo:rerun-if-changed={log}");
    }
}

/// What a program says on its standard output, if it succeeds.
fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
