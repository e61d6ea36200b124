//! The configuration: every setting typed, from defaults, a file and the environment, with all mistakes told at once.
//!
//! The defaults are `deploy/longshore.toml`, compiled in; a file and then the environment lie over them ([`layers`]).
//! What [`Config::load`] returns is whole: units read, secrets resolved, paths absolute, rules between keys kept.
//! Two settings follow another one until they are set themselves: `store.url` follows `state_dir`,
//! and `sources.http.total_timeout` is 24/25 of `queue.hold`.
//! It does not look whether anything answers at an address. Start with [`sections`].

pub mod address;
mod check;
mod errors;
mod known;
mod layers;
mod load;
mod places;
mod rules;
pub mod secret;
mod sections;
pub mod template;
pub mod text;
pub mod units;
mod unsupported;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use toml::Table;

pub use address::{Endpoint, QueueUrl, StoreUrl, TeamsSource};
pub use errors::{ConfigError, ConfigErrors};
pub use known::DEFAULTS;
pub use places::Places;
pub use secret::Secret;
pub use sections::*;
pub use template::Template;
pub use text::Text;
pub use units::{ByteRate, ByteSize, Network, RequestRate, TimeSpan};

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    /// The file that was asked for (`--config`); it must be there.
    pub file: Option<PathBuf>,
    /// The working folder; absolute.
    pub working_folder: PathBuf,
}

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings in force.
    pub config: Config,
    /// What relative paths start at: the file's folder, else the working folder.
    pub base_dir: PathBuf,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Where each setting was set.
    pub places: Places,
}

/// Returns the process's environment for [`Config::load`]; what is no Unicode is made so, with marks in its place.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

impl Config {
    /// Reads the settings in force. Reads files only; may be repeated.
    ///
    /// The file is `source.file`, else `$LONGSHORE_CONFIG` of `environment` (both must be there if named),
    /// else `longshore.toml` in the working folder if there is one.
    ///
    /// # Errors
    /// Every mistake, each with key and place: unreadable or broken file, unknown keys, wrong values,
    /// secrets that are not there, broken rules, and what this version does not support yet.
    pub fn load(
        source: &ConfigSource, environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        load::load(source, &environment.collect(), unsupported::unsupported)
    }

    /// Returns the settings as a table, nested as the file is, every secret and user-info masked.
    #[must_use]
    pub fn effective(&self) -> Table {
        Table::try_from(self).expect("every setting has a form in TOML, and a test writes each")
    }

    /// Returns the database file of the embedded queue: `local:PATH`'s, else `queue.db` in the state folder.
    #[must_use]
    pub fn queue_database(&self) -> PathBuf {
        self.database_of(&self.queue.url)
    }

    /// Returns the database file of the events where they are local; it may be the queue's.
    #[must_use]
    pub fn events_database(&self) -> Option<PathBuf> {
        match &self.events.url {
            Some(url @ QueueUrl::Local { .. }) => Some(self.database_of(url)),
            Some(QueueUrl::Amqp { .. } | QueueUrl::Sqs { .. }) | None => None,
        }
    }

    fn database_of(&self, url: &QueueUrl) -> PathBuf {
        match url {
            QueueUrl::Local { path: Some(path) } => path.clone(),
            QueueUrl::Local { path: None } | QueueUrl::Amqp { .. } | QueueUrl::Sqs { .. } => {
                self.state_dir.join("queue.db")
            }
        }
    }

    /// Returns the JSON Schema of a configuration file, where every key may be left out.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Config).to_value();
        remove_required(&mut schema);
        schema
    }
}

fn remove_required(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(object) => {
            if object.get("required").is_some_and(serde_json::Value::is_array) {
                object.remove("required");
            }
            object.values_mut().for_each(remove_required);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(remove_required),
        _ => {}
    }
}
