//! Which keys there are: those of the compiled-in defaults, and the tables whose names are the operator's.

use std::sync::LazyLock;

use toml::{Table, Value};

/// The file of defaults, with every key explained.
pub const DEFAULTS: &str = include_str!("../../../deploy/longshore.toml");

static DEFAULT_TABLE: LazyLock<Table> =
    LazyLock::new(|| DEFAULTS.parse().expect("the compiled-in defaults are TOML, and a test parses them"));

const PROFILE_KEYS: [&str; 6] = ["accept", "format", "max_side", "quality", "strip_metadata", "thumbnail"];
const HOST_KEYS: [&str; 3] = ["bytes_per_second", "in_flight", "requests_per_second"];

/// Tables that hold one table for each name that an operator gives.
const NAMED_TABLES: [(&[&str], &[&str]); 2] = [(&["normalize"], &PROFILE_KEYS), (&["limits", "host"], &HOST_KEYS)];

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table of further keys.
    Section,
    /// A table whose keys are the operator's own names.
    Names,
    /// A setting; whether its default is text.
    Setting { text: bool },
    /// Nothing that we know.
    Unknown,
}

/// Returns the defaults as a table.
pub(super) fn defaults() -> &'static Table {
    &DEFAULT_TABLE
}

/// Tells what stands at `path`.
pub(super) fn kind(path: &[String]) -> Kind {
    for (table, keys) in NAMED_TABLES {
        let Some(rest) = path.strip_prefix(&table.iter().map(ToString::to_string).collect::<Vec<_>>()[..]) else {
            continue;
        };
        return match rest {
            [] => Kind::Names,
            [_name] => Kind::Section,
            [_name, key] if keys.contains(&key.as_str()) => {
                Kind::Setting { text: matches!(key.as_str(), "bytes_per_second" | "format") }
            }
            _ => Kind::Unknown,
        };
    }
    let mut table = defaults();
    let Some((last, parents)) = path.split_last() else {
        return Kind::Section;
    };
    for parent in parents {
        match table.get(parent) {
            Some(Value::Table(inner)) => table = inner,
            _ => return Kind::Unknown,
        }
    }
    match table.get(last) {
        Some(Value::Table(_)) => Kind::Section,
        Some(value) => Kind::Setting { text: value.is_str() },
        None => Kind::Unknown,
    }
}

/// Returns the key most like `path`, if one is near: beside it, or by the same name in another section.
pub(super) fn nearest(path: &[String]) -> Option<String> {
    let (last, parents) = path.split_last()?;
    let beside = siblings(parents);
    let room = if last.len() <= 4 { 1 } else { 2.max(last.len() / 4) };
    let best = beside.iter().map(|name| (distance(last, name), name)).filter(|(far, _)| *far <= room).min();
    if let Some((_, name)) = best {
        return Some(show(&[parents, std::slice::from_ref(name)].concat()));
    }
    let same_name: Vec<_> = all_settings().into_iter().filter(|known| known.last() == Some(last)).collect();
    if let [only] = &same_name[..] { Some(show(only)) } else { None }
}

fn siblings(parents: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (table, keys) in NAMED_TABLES {
        if parents.len() == table.len() + 1 && parents.iter().zip(table).all(|(a, b)| a == b) {
            names.extend(keys.iter().map(ToString::to_string));
        }
        if let Some((name, above)) = table.split_last()
            && parents.iter().map(String::as_str).eq(above.iter().copied())
        {
            names.push((*name).to_owned());
        }
    }
    let mut table = Some(defaults());
    for parent in parents {
        table = table.and_then(|table| table.get(parent)).and_then(Value::as_table);
    }
    names.extend(table.into_iter().flat_map(|table| table.keys().cloned()));
    names
}

/// Returns the path of every setting that has a default.
pub(super) fn all_settings() -> Vec<Vec<String>> {
    leaves(defaults(), &[])
}

/// Returns the path of every value in `table` that is no table.
pub(super) fn leaves(table: &Table, above: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (key, value) in table {
        let path = [above, std::slice::from_ref(key)].concat();
        match value {
            Value::Table(inner) => found.extend(leaves(inner, &path)),
            _ => found.push(path),
        }
    }
    found
}

/// Writes a path as a key, names with dots in quotes: `limits.host."cdn.acme.com".in_flight`.
pub(super) fn show(path: &[String]) -> String {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let parts = path.iter().map(|part| if plain(part) { part.clone() } else { format!("{part:?}") });
    parts.collect::<Vec<_>>().join(".")
}

/// Counts the letters to insert, remove or change that make `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Vec<String> {
        key.split('/').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn keys_are_known_by_their_place() {
        for (key, expected) in [
            ("state_dir", Kind::Setting { text: true }),
            ("queue", Kind::Section),
            ("queue/max_attempts", Kind::Setting { text: false }),
            ("sources/http/max_redirects", Kind::Setting { text: false }),
            ("normalize", Kind::Names),
            ("normalize/web", Kind::Section),
            ("normalize/web/format", Kind::Setting { text: true }),
            ("normalize/web/colour", Kind::Unknown),
            ("limits/host", Kind::Names),
            ("limits/host/cdn.acme.com/in_flight", Kind::Setting { text: false }),
            ("queue/url/x", Kind::Unknown),
            ("nothing", Kind::Unknown),
        ] {
            assert_eq!(kind(&path(key)), expected, "{key}");
        }
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        for (key, expected) in [
            ("queue/leese", Some("queue.lease")),
            ("queue/max_attemps", Some("queue.max_attempts")),
            ("quene", Some("queue")),
            ("lease", Some("queue.lease")),
            ("limits/hosts", Some("limits.host")),
            ("normalise", Some("normalize")),
            ("limits/host/cdn.acme.com/inflight", Some("limits.host.\"cdn.acme.com\".in_flight")),
            ("queue/colour", None),
            ("url", None),
        ] {
            assert_eq!(nearest(&path(key)).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn distances_count_single_letters() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("lease", "leese", 1),
            ("abc", "acb", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }
}
