//! House rules that the compiler does not know, checked over the whole workspace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// A file that grows past this holds two ideas.
const FILE_LINES_MAX: usize = 600;
/// The only places where `unsafe` may stand, with the reason.
const UNSAFE_PLACES: [(&str, &str); 2] = [
    ("engine/src/ring/", "io_uring has no safe interface that is fast enough"),
    ("engine/tests/tidy.rs", "the word in the examples of this test"),
];
/// Folders that hold no source of ours.
const FOREIGN_FOLDERS: [&str; 2] = ["target", ".git"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file of the workspace, as path from the root and text.
fn sources() -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !FOREIGN_FOLDERS.contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((shown, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    assert!(found.len() > 20, "the workspace was not found");
    found
}

fn manifest(folder: &Path) -> Table {
    fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest").parse().expect("TOML")
}

fn none(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n{}", offences.join("\n"));
}

/// Whether a line has code that needs `unsafe`: the word before a block, a function, a trait or an implementation.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices("unsafe").any(|(at, word)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        if before.ends_with(is_part_of_word) || after.starts_with(is_part_of_word) {
            return false;
        }
        let after = after.trim_start();
        let starts = ["{", "(", "fn ", "impl ", "impl<", "trait ", "extern ", "mod "];
        after.is_empty() || starts.iter().any(|start| after.starts_with(start))
    })
}

#[test]
fn unsafe_stands_only_where_it_is_allowed() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        if UNSAFE_PLACES.iter().any(|(place, _)| path.starts_with(place)) {
            continue;
        }
        let lines = text.lines().enumerate().filter(|(_, line)| has_unsafe(line));
        offences.extend(lines.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())));
    }
    none("unsafe outside its places", &offences);
}

#[test]
fn the_search_for_unsafe_finds_it() {
    for line in [
        "unsafe { x() }",
        "pub unsafe fn x()",
        "unsafe impl Send for X {}",
        "let x = unsafe",
        "#[unsafe(no_mangle)]",
    ] {
        assert!(has_unsafe(line), "{line}");
    }
    for line in
        ["#![forbid(unsafe_code)]", "// unsafe { x() }", "unsafe_op_in_unsafe_fn = \"deny\"", "is_unsafe(x)"]
    {
        assert!(!has_unsafe(line), "{line}");
    }
}

#[test]
fn no_file_holds_two_ideas() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        let lines_count = text.lines().count();
        if lines_count > FILE_LINES_MAX {
            offences.push(format!("{path}: {lines_count} lines"));
        }
    }
    none("files over the limit", &offences);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let mut offences = Vec::new();
    // A module's tests in a file of their own have the module's page.
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("/tests.rs")) {
        let first = text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
        if !first.is_some_and(|line| line.starts_with("//!")) {
            offences.push(path);
        }
    }
    none("files without a first page", &offences);
}

/// Names of dependencies that come from outside.
fn foreign_dependencies() -> BTreeSet<String> {
    let manifest = manifest(&root());
    let dependencies = manifest["workspace"]["dependencies"].as_table().expect("a table").clone();
    let is_ours = |value: &Value| value.as_table().is_some_and(|table| table.contains_key("path"));
    dependencies.into_iter().filter(|(_, value)| !is_ours(value)).map(|(name, _)| name).collect()
}

#[test]
fn every_dependency_has_its_line_and_every_line_its_dependency() {
    let text = fs::read_to_string(root().join("docs/DEPENDENCIES.md")).expect("the list");
    let listed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(foreign_dependencies(), listed, "Cargo.toml on the left, docs/DEPENDENCIES.md on the right");
}

#[test]
fn members_take_every_dependency_from_the_workspace() {
    let root = root();
    let members = manifest(&root)["workspace"]["members"].as_array().expect("a list").clone();
    let (mut offences, mut used) = (Vec::new(), BTreeSet::new());
    for member in members.iter().filter_map(Value::as_str) {
        let manifest = manifest(&root.join(member));
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(kind).and_then(Value::as_table).into_iter().flatten() {
                used.insert(name.clone());
                if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                    offences.push(format!("{member}/Cargo.toml: {name}"));
                }
            }
        }
    }
    none("dependencies with a version of their own", &offences);
    let unused: Vec<_> = foreign_dependencies().difference(&used).cloned().collect();
    none("dependencies that nobody uses", &unused);
}
