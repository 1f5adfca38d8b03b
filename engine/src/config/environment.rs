//! The process's `ADIT_*` variables as a [`Layer`].

use std::ffi::OsString;

use super::error::{ConfigError, Origin};
use super::raw::{Entry, Layer, Raw};
use super::read::VARIABLE_PREFIX;

/// Names the configuration file, where no flag does. Not a key.
pub const FILE_VARIABLE: &str = "ADIT_CONFIG";

/// Holds a token for `adit status`. Not a key.
pub const TOKEN_VARIABLE: &str = "ADIT_TOKEN";

/// Starts of variables that Kubernetes and Docker set by themselves for a service that is called `adit`.
const FOREIGN_PREFIXES: [&str; 2] = ["ADIT_SERVICE_", "ADIT_PORT"];

/// Reads the variables that are ours out of `variables`. Names in capitals only, as they are written in the manual.
pub fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> (Layer, Vec<ConfigError>) {
    let (mut layer, mut errors) = (Layer::new(), Vec::new());
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        let origin = Origin::Variable(name.to_owned());
        match value.into_string() {
            Ok(value) => {
                layer.insert(name.to_owned(), Entry { raw: Raw::Word(value), origin });
            }
            Err(_) => errors.push(ConfigError::Value {
                origin,
                key: name.to_owned(),
                value: "…".to_owned(),
                problem: "it is not UTF-8".to_owned(),
                allowed: "text in UTF-8".to_owned(),
            }),
        }
    }
    (layer, errors)
}

fn is_ours(name: &str) -> bool {
    name.starts_with(VARIABLE_PREFIX)
        && ![FILE_VARIABLE, TOKEN_VARIABLE].contains(&name)
        && !FOREIGN_PREFIXES.iter().any(|foreign| name.starts_with(foreign))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn only_variables_of_ours_are_read() {
        let variables = [
            "ADIT_LISTEN",
            "ADIT_CONFIG",
            "ADIT_TOKEN",
            "ADIT_SERVICE_HOST",
            "ADIT_PORT_3333_TCP",
            "HOME",
            "adit_listen",
        ];
        let (layer, errors) = read(variables.into_iter().map(|name| (name.into(), "x".into())));
        assert_eq!(layer.keys().collect::<Vec<_>>(), ["ADIT_LISTEN"]);
        assert_eq!(errors, []);
    }

    #[test]
    fn a_value_that_is_not_utf8_is_an_error() {
        let (layer, errors) = read([("ADIT_LISTEN".into(), OsString::from_vec(vec![0xff]))].into_iter());
        assert!(layer.is_empty());
        assert!(errors[0].to_string().contains("ADIT_LISTEN"), "{errors:?}");
    }
}
