//! The layers over the defaults: what a file and the environment set, setting by setting, with the place of each.
//!
//! The file is read first, the environment after it; the later setting of a key wins.
//! Keys that are not known are reported here; values are judged later, in [`super`].

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::errors::ConfigError;
use super::known::{self, Kind};

/// What the environment's settings start with.
const PREFIX: &str = "LONGSHORE__";

/// A value that somebody set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) place: String,
}

/// Every setting of file and environment, by path, and the mistakes met on the way.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) settings: BTreeMap<Vec<String>, Setting>,
    pub(super) errors: Vec<ConfigError>,
}

impl Layers {
    /// Adds the settings of a file's `text`; `shown` is the file's name in places.
    ///
    /// Text that is no TOML adds its mistakes and no setting.
    pub(super) fn add_file(&mut self, text: &str, shown: &Path) {
        let place = |offset: usize| format!("{}:{}", shown.display(), line_of(text, offset));
        let (spans, syntax) = DeTable::parse_recoverable(text);
        let parsed = text.parse::<Table>();
        match parsed {
            Ok(table) if syntax.is_empty() => {
                let file = File { place: &place };
                file.walk(self, &mut Vec::new(), &table, spans.get_ref());
            }
            Ok(_) => self.add_syntax_errors(&syntax, &place),
            Err(error) if syntax.is_empty() => self.add_syntax_errors(&[error], &place),
            Err(_) => self.add_syntax_errors(&syntax, &place),
        }
    }

    fn add_syntax_errors(&mut self, errors: &[toml::de::Error], place: &dyn Fn(usize) -> String) {
        for error in errors {
            let place = place(error.span().map_or(0, |span| span.start));
            self.errors.push(ConfigError { key: String::new(), place, message: error.message().replace('\n', ", ") });
        }
    }

    /// Adds the settings of an environment; names without our prefix are not looked at.
    pub(super) fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (variable, text) in environment {
            let Some(rest) =
                variable.get(PREFIX.len()..).filter(|_| variable[..PREFIX.len()].eq_ignore_ascii_case(PREFIX))
            else {
                continue;
            };
            let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
            self.take_spelling_of_names(&mut path);
            let value = value_of(text, &path);
            self.add(&mut path, value, &format!("environment {variable}"));
        }
    }

    /// A name that the file gave in other letters' case is the same name.
    fn take_spelling_of_names(&self, path: &mut [String]) {
        for length in 1..=path.len() {
            if known::kind(&path[..length - 1]) != Kind::Names {
                continue;
            }
            let same = |known: &&Vec<String>| {
                known.len() >= length
                    && known[..length - 1] == path[..length - 1]
                    && known[length - 1].to_lowercase() == path[length - 1]
            };
            if let Some(known) = self.settings.keys().find(same) {
                path[length - 1].clone_from(&known[length - 1]);
            }
        }
    }

    /// Adds a value and, where it is a section, all that is in it, each at the same place.
    fn add(&mut self, path: &mut Vec<String>, value: Value, place: &str) {
        match (known::kind(path), value) {
            (Kind::Section | Kind::Names, Value::Table(table)) => {
                for (key, value) in table {
                    path.push(key);
                    self.add(path, value, place);
                    path.pop();
                }
            }
            (Kind::Section | Kind::Names, _) => self.errors.push(not_a_section(path, place)),
            (Kind::Setting { .. }, value) => {
                self.settings.insert(path.clone(), Setting { value, place: place.to_owned() });
            }
            (Kind::Unknown, _) => self.errors.push(unknown(path, place)),
        }
    }
}

struct File<'a> {
    place: &'a dyn Fn(usize) -> String,
}

impl File<'_> {
    /// Goes through `table` and its spans side by side.
    fn walk(&self, layers: &mut Layers, path: &mut Vec<String>, table: &Table, spans: &DeTable<'_>) {
        for (key, value) in table {
            let (at, inner) = spans
                .get_key_value(key.as_str())
                .map_or((0, None), |(key, value)| (key.span().start, value.get_ref().as_table()));
            path.push(key.clone());
            match (value, inner) {
                (Value::Table(table), Some(inner)) if matches!(known::kind(path), Kind::Section | Kind::Names) => {
                    self.walk(layers, path, table, inner);
                }
                _ => layers.add(path, value.clone(), &(self.place)(at)),
            }
            path.pop();
        }
    }
}

/// Reads a variable's value as TOML; a bare word is text, and so is all but quoted text where text is wanted.
fn value_of(text: &str, path: &[String]) -> Value {
    let bare = || Value::String(text.to_owned());
    if DeValue::parse(text).is_err() {
        return bare();
    }
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    match (parsed, known::kind(path)) {
        (
            None | Some(Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)),
            Kind::Setting { text: true },
        ) => bare(),
        (None, _) => bare(),
        (Some(value), _) => value,
    }
}

fn unknown(path: &[String], place: &str) -> ConfigError {
    let message = match known::nearest(path) {
        Some(near) => format!("is not a known key: did you mean {near}?"),
        None => "is not a known key: remove it, or see deploy/longshore.toml for those there are".to_owned(),
    };
    ConfigError { key: known::show(path), place: place.to_owned(), message }
}

fn not_a_section(path: &[String], place: &str) -> ConfigError {
    let key = known::show(path);
    let message = format!("is a section, not a value: write [{key}] and its keys below it");
    ConfigError { key, place: place.to_owned(), message }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(file: &str, environment: &[(&str, &str)]) -> Layers {
        let mut layers = Layers::default();
        layers.add_file(file, Path::new("my.toml"));
        layers.add_environment(
            &environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        );
        layers
    }

    fn shown(layers: &Layers) -> Vec<String> {
        let settings = layers
            .settings
            .iter()
            .map(|(path, setting)| format!("{} = {} ({})", known::show(path), setting.value, setting.place));
        settings.chain(layers.errors.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn a_files_settings_know_their_lines() {
        let file =
            "state_dir = \"d\"\n\n[queue]\nurl = \"local:\"\nlease = \"1m\"\n[limits.host.\"a.test\"]\nin_flight = 1\n";
        assert_eq!(
            shown(&layers(file, &[])),
            [
                "limits.host.\"a.test\".in_flight = 1 (my.toml:7)",
                "queue.lease = \"1m\" (my.toml:5)",
                "queue.url = \"local:\" (my.toml:4)",
                "state_dir = \"d\" (my.toml:1)",
            ]
        );
    }

    #[test]
    fn the_environment_is_toml_and_a_bare_word_is_text() {
        for (name, value, expected) in [
            ("LONGSHORE__QUEUE__LEASE", "5m", "queue.lease = \"5m\""),
            ("LONGSHORE__QUEUE__NAME", "17", "queue.name = \"17\""),
            ("LONGSHORE__QUEUE__NAME", "true", "queue.name = \"true\""),
            ("LONGSHORE__QUEUE__NAME", "\"x y\"", "queue.name = \"x y\""),
            ("LONGSHORE__QUEUE__NAME", "2026-01-01", "queue.name = \"2026-01-01\""),
            ("LONGSHORE__EVENTS__URL", "", "events.url = \"\""),
            ("longshore__Queue__Max_Attempts", "7", "queue.max_attempts = 7"),
            ("LONGSHORE__QUEUE__DECLARE", "false", "queue.declare = false"),
            ("LONGSHORE__STATE_DIR", "/var/lib/x", "state_dir = \"/var/lib/x\""),
            (
                "LONGSHORE__SOURCES__HTTP__ALLOW_NETWORKS",
                "[\"127.0.0.0/8\"]",
                "sources.http.allow_networks = [\"127.0.0.0/8\"]",
            ),
            ("LONGSHORE__LIMITS__HOST__CDN.ACME.COM__IN_FLIGHT", "2", "limits.host.\"cdn.acme.com\".in_flight = 2"),
            ("LONGSHORE__LIMITS__HOST", "{ \"b.test\" = { in_flight = 3 } }", "limits.host.\"b.test\".in_flight = 3"),
            ("LONGSHORE__NORMALIZE__WEB__ACCEPT", "[\"image/*\"]", "normalize.web.accept = [\"image/*\"]"),
            ("LONGSHORE__QUEUE__URL", "amqp://a\nx = 1", "queue.url = \"amqp://a\\nx = 1\""),
        ] {
            let layers = layers("", &[(name, value)]);
            let (key, setting) =
                layers.settings.first_key_value().unwrap_or_else(|| panic!("{name}: {:?}", layers.errors));
            let text = Table::from_iter([("v".to_owned(), setting.value.clone())]);
            let wanted: Table = format!("v = {}", expected.split_once(" = ").unwrap().1).parse().unwrap();
            assert_eq!((known::show(key).as_str(), text), (expected.split_once(" = ").unwrap().0, wanted), "{name}");
            assert_eq!(setting.place, format!("environment {name}"));
        }
    }

    #[test]
    fn the_environment_wins_also_over_a_name_in_other_case() {
        let file = "[queue]\nlease = \"1m\"\n[normalize.Web]\nquality = 1\n";
        let layers = layers(file, &[("LONGSHORE__QUEUE__LEASE", "5m"), ("LONGSHORE__NORMALIZE__WEB__QUALITY", "2")]);
        assert_eq!(
            shown(&layers),
            [
                "normalize.Web.quality = 2 (environment LONGSHORE__NORMALIZE__WEB__QUALITY)",
                "queue.lease = \"5m\" (environment LONGSHORE__QUEUE__LEASE)",
            ]
        );
    }

    #[test]
    fn other_variables_are_left_alone() {
        assert!(
            shown(&layers("", &[("LONGSHORE_CONFIG", "x"), ("LONGSHORE", "x"), ("PATH", "x"), ("ÄÖÜÄÖÜ", "x")]))
                .is_empty()
        );
    }

    #[test]
    fn unknown_keys_and_sections_that_are_none_are_all_reported() {
        let file = "queue = 3\ncolour = 1\n[evnts]\nurl = \"\"\n[limits]\nmemry = \"1MiB\"\n";
        assert_eq!(
            shown(&layers(file, &[("LONGSHORE__QUEUE__LEESE", "1m"), ("LONGSHORE__", "x")])),
            [
                "my.toml:2: colour: is not a known key: remove it, or see deploy/longshore.toml for those there are",
                "my.toml:3: evnts: is not a known key: did you mean events?",
                "my.toml:6: limits.memry: is not a known key: did you mean limits.memory?",
                "my.toml:1: queue: is a section, not a value: write [queue] and its keys below it",
                "environment LONGSHORE__: \"\": is not a known key: remove it, or see deploy/longshore.toml for those there are",
                "environment LONGSHORE__QUEUE__LEESE: queue.leese: is not a known key: did you mean queue.lease?",
            ]
        );
    }

    #[test]
    fn text_that_is_no_toml_is_reported_with_its_lines() {
        let layers = layers("[queue]\nlease = \nurl = \"local:\"\nname = oops\n", &[]);
        let places: Vec<_> = layers.errors.iter().map(|error| error.place.as_str()).collect();
        assert_eq!(places, ["my.toml:2", "my.toml:4"], "{:?}", layers.errors);
        assert!(layers.settings.is_empty());
    }
}
