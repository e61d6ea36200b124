//! Tests of the configuration as a whole; the parts have theirs beside them.

mod defaults;
mod mistakes;
mod paths;
mod secrets;
mod values;

use std::path::Path;

use super::*;
use crate::shell::config::{known, load};

/// Loads a file's text under an environment, features that are not built yet let through.
fn try_load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    load_with(file, environment, |_, _| Vec::new())
}

fn load_with(file: &str, environment: &[(&str, &str)], unsupported: load::Unsupported) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("longshore.toml"), file).unwrap();
    std::fs::write(folder.path().join("key"), "amqp://me:hush@mq\n").unwrap();
    let source = ConfigSource { file: None, working_folder: folder.path().to_owned() };
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let loaded = load::load(&source, &environment, unsupported);
    loaded.map(|loaded| loaded.config).map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

fn loaded(file: &str) -> Config {
    try_load(file, &[]).unwrap_or_else(|errors| panic!("{file}: {errors:#?}"))
}

fn value_at(table: &Table, key: &str) -> toml::Value {
    let mut value = toml::Value::Table(table.clone());
    for part in key.split('.') {
        value = value.get(part).unwrap_or_else(|| panic!("{key} is missing")).clone();
    }
    value
}

/// Checks that a file has exactly one mistake, with this key and this in its message.
fn check_refused(file: &str, key: &str, part: &str) {
    let errors = try_load(file, &[]).map(|_| format!("{file}: accepted")).unwrap_err();
    assert!(
        matches!(&errors[..], [only] if only.contains(&format!(": {key}: ")) && only.contains(part)),
        "{file}: {key}: {part}\nin {errors:#?}"
    );
}
