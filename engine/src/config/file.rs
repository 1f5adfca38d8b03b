//! A TOML file as a [`Layer`], with the place of every value.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::raw::{Entry, Layer, Raw};
use crate::settings::Secret;

/// Longest configuration file read, bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The keys that hold lists of tables.
pub const LISTS: [&str; 3] = ["pools", "groups", "routes"];

/// What a file holds.
#[derive(Debug, Default)]
pub struct FileLayer {
    /// Every value that could be read, by its full key.
    pub layer: Layer,
    /// Every table by its full key, and where it begins: an empty one leaves no other trace.
    pub tables: BTreeMap<String, Origin>,
    /// Where the file is no TOML.
    pub errors: Vec<ConfigError>,
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> FileLayer {
    match read_text(path) {
        Ok(text) => parse(path, &text),
        Err(reason) => {
            let error = ConfigError::File { path: path.to_owned(), reason, bytes_max: FILE_BYTES_MAX };
            FileLayer { errors: vec![error], ..FileLayer::default() }
        }
    }
}

/// Reads `text`, which stands in the file at `path`.
pub fn parse(path: &Path, text: &str) -> FileLayer {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (table, faults) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, broken_lines: Vec::new(), file: FileLayer::default() };
    for fault in &faults {
        reader.syntax(fault);
    }
    reader.table("", table.get_ref());
    reader.file
}

fn read_text(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    /// Lines with a syntax error: what was made of them is a guess, so nothing of them is used.
    broken_lines: Vec<usize>,
    file: FileLayer,
}

impl Reader<'_> {
    fn syntax(&mut self, fault: &toml::de::Error) {
        let (line, column) = position(self.text, fault.span().map_or(0, |span| span.start));
        if self.broken_lines.contains(&line) {
            return; // The first complaint about a line is the one that helps.
        }
        self.broken_lines.push(line);
        let whole = self.text.lines().nth(line - 1).unwrap_or_default().trim();
        self.file.errors.push(ConfigError::Syntax {
            origin: Origin::File { path: self.path.to_owned(), line, column },
            line_text: without_secret(whole),
            problem: fault.message().to_owned(),
        });
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = joined(prefix, name.get_ref());
            match value.get_ref() {
                // One pair of brackets instead of two, where there is one pool only: no harm in taking it.
                DeValue::Table(inner) if LISTS.contains(&key.as_str()) => {
                    self.inner_table(&format!("{key}.0"), inner, value.span());
                }
                DeValue::Table(inner) => self.inner_table(&key, inner, value.span()),
                DeValue::Array(items) if LISTS.contains(&key.as_str()) && !items.is_empty() => {
                    for (index, item) in items.iter().enumerate() {
                        let key = format!("{key}.{index}");
                        match item.get_ref() {
                            DeValue::Table(inner) => self.inner_table(&key, inner, item.span()),
                            _ => self.insert(key, item),
                        }
                    }
                }
                _ => self.insert(key, value),
            }
        }
    }

    fn inner_table(&mut self, key: &str, table: &DeTable<'_>, span: Range<usize>) {
        let origin = self.origin(&span);
        if !self.is_broken(&origin) {
            self.file.tables.insert(key.to_owned(), origin);
        }
        self.table(key, table);
    }

    fn insert(&mut self, key: String, value: &Spanned<DeValue<'_>>) {
        if value.span().is_empty() {
            return; // Made up by the parser to go on after an error; nobody wrote it.
        }
        let entry = self.entry(value);
        if !self.is_broken(&entry.origin) {
            self.file.layer.insert(key, entry);
        }
    }

    fn is_broken(&self, origin: &Origin) -> bool {
        matches!(origin, Origin::File { line, .. } if self.broken_lines.contains(line))
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        let (line, column) = position(self.text, span.start);
        Origin::File { path: self.path.to_owned(), line, column }
    }

    fn entry(&self, value: &Spanned<DeValue<'_>>) -> Entry {
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::Text(text.clone().into_owned()),
            DeValue::Boolean(truth) => Raw::Truth(*truth),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Raw::Integer(number),
                Err(_) => Raw::Other("a number beyond all bounds", self.written(value.span())),
            },
            DeValue::Array(items) => Raw::List(items.iter().map(|item| self.entry(item)).collect()),
            DeValue::Float(_) => Raw::Other("a fraction", self.written(value.span())),
            DeValue::Datetime(_) => Raw::Other("a date", self.written(value.span())),
            DeValue::Table(_) => Raw::Other("a table", self.written(value.span())),
        };
        Entry { raw, origin: self.origin(&value.span()) }
    }

    fn written(&self, span: Range<usize>) -> String {
        self.text.get(span).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    }
}

/// `prefix.name`. A name that TOML wants quoted stays quoted, so that it cannot pass for two.
fn joined(prefix: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if bare { name.to_owned() } else { super::raw::quoted(name) };
    if prefix.is_empty() { name } else { format!("{prefix}.{name}") }
}

/// A line that is no TOML, without what may be a password in it (misspelt keys and URLs with `name:password@`).
fn without_secret(line: &str) -> String {
    match line.split_once('=') {
        Some((key, _)) if is_password(key) || line.contains('@') => format!("{key}= {}", Secret::MASK),
        None if line.contains('@') => Secret::MASK.to_owned(),
        _ => line.to_owned(),
    }
}

fn is_password(key: &str) -> bool {
    let key = key.trim().to_ascii_lowercase();
    key.contains("pass") || key.contains("token") || strsim::damerau_levenshtein(&key, "password") <= 3
}

/// Line and column of a byte, both from 1, the column in characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> FileLayer {
        parse(Path::new("a.toml"), text)
    }

    fn at(line: usize, column: usize) -> Origin {
        Origin::File { path: "a.toml".into(), line, column }
    }

    #[test]
    fn every_value_has_its_full_key_and_its_place() {
        let file = parsed(
            "shards = 0x10\n[log]\n  level = \"info\"\n[[pools]]\nurl = \"ä\" \n[[pools]]\nurl = 'b'\nweight = 1.5\n",
        );
        assert_eq!(file.errors, []);
        let found: Vec<_> = file.layer.iter().map(|(key, e)| (key.as_str(), &e.raw, &e.origin)).collect();
        let fraction = Raw::Other("a fraction", "1.5".into());
        assert_eq!(
            found,
            [
                ("log.level", &Raw::Text("info".into()), &at(3, 11)),
                ("pools.0.url", &Raw::Text("ä".into()), &at(5, 7)),
                ("pools.1.url", &Raw::Text("b".into()), &at(7, 7)),
                ("pools.1.weight", &fraction, &at(8, 10)),
                ("shards", &Raw::Integer(16), &at(1, 10)),
            ]
        );
    }

    #[test]
    fn items_of_a_list_have_places_of_their_own() {
        let file = parsed("listen = [\n  \"a\",\n  5,\n]\n");
        let Some(Entry { raw: Raw::List(items), .. }) = file.layer.get("listen") else { panic!("{file:?}") };
        let places: Vec<_> = items.iter().map(|item| &item.origin).collect();
        assert_eq!(places, [&at(2, 3), &at(3, 3)]);
    }

    #[test]
    fn a_single_pair_of_brackets_makes_a_pool_too() {
        assert!(parsed("[pools]\nurl = \"x\"\n").layer.contains_key("pools.0.url"));
    }

    #[test]
    fn a_quoted_key_with_a_dot_is_not_taken_for_two() {
        let file = parsed("\"log.level\" = \"info\"\n");
        assert!(file.layer.contains_key("\"log.level\""), "{file:?}");
    }

    #[test]
    fn each_broken_line_is_told_once_and_the_others_are_read() {
        let file = parsed("listen = 0.0.0.0:3333\nshards = 2\n\n[ledger]\nfile = /var/lib\n");
        let told: Vec<_> = file.errors.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("a.toml, line 1, column 13: listen = 0.0.0.0:3333: "), "{}", told[0]);
        assert!(told[1].starts_with("a.toml, line 5, column 8: file = /var/lib: "), "{}", told[1]);
        assert_eq!(file.layer.keys().collect::<Vec<_>>(), ["shards"]);
    }

    #[test]
    fn a_broken_line_does_not_give_its_password_away() {
        for line in ["password = hunter2", "url = stratum+tcp://me:hunter2@pool:3333", "pasword = \"hunter2"]
        {
            let file = parsed(line);
            let told = super::super::ConfigErrors(file.errors).to_string();
            assert!(told.contains("line 1"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.toml");
        let told = || super::super::ConfigErrors(read(&path).errors).to_string();
        assert!(told().contains("a.toml: cannot be read: No such file"), "{}", told());
        std::fs::write(&path, [0xff, 0xfe]).expect("written");
        assert!(told().contains("a.toml: cannot be read: invalid utf-8"), "{}", told());
        std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX as usize + 1]).expect("written");
        assert!(told().contains("a.toml: cannot be read: it is too long"), "{}", told());
    }
}
