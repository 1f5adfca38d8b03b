//! Tells the program which compiler made it.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo:rustc-env=ADIT_RUSTC={}", version.trim());
    println!("cargo:rerun-if-env-changed=ADIT_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
}
