//! The way from layers to a whole configuration: secrets resolved, each value tried alone, rules checked, paths made whole.
//!
//! A mistake never hides another: what is wrong is reported and left at its default, and the rest is judged all the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::layers::{Layers, Setting};
use super::{
    Config, ConfigError, ConfigErrors, ConfigSource, Loaded, Places, QueueUrl, StoreUrl, TeamsSource, TimeSpan, check,
    known, secret,
};

/// Keys whose text may be `env:NAME` or `file:PATH`, and whose value no message quotes.
const SECRET_KEYS: [&str; 7] = [
    "azure.client_secret",
    "events.url",
    "limits.shared.redis_url",
    "queue.url",
    "sources.http.egress_proxy",
    "teams.token",
    "webhooks.queue_url",
];

/// Tells which settings ask for what is not built yet.
pub(super) type Unsupported = fn(&Config, &Places) -> Vec<ConfigError>;

/// Reads the settings in force; see [`Config::load`].
pub(super) fn load(
    source: &ConfigSource, environment: &BTreeMap<String, String>, unsupported: Unsupported,
) -> Result<Loaded, ConfigErrors> {
    let file = find_file(source, environment);
    let base_dir = file
        .as_deref()
        .and_then(Path::parent)
        .map_or_else(|| source.working_folder.clone(), |folder| source.working_folder.join(folder));
    let mut layers = Layers::default();
    if let Some(file) = &file {
        let text =
            std::fs::read_to_string(source.working_folder.join(file)).map_err(|error| cannot_read(file, &error))?;
        layers.add_file(&text, file);
    }
    let broken_file = !layers.errors.is_empty() && layers.settings.is_empty();
    layers.add_environment(environment);
    resolve_secrets(&mut layers, &base_dir, environment);
    let (table, places) = merge(&mut layers);
    let mut errors = layers.errors;
    let mut config: Config = table.try_into().expect("each setting was tried alone, and the defaults are tested");
    config.follow(&places);
    // Rules between keys would only repeat, in other words, that a file was not understood.
    if !broken_file {
        errors.extend(check::check(&config, &places));
        errors.extend(unsupported(&config, &places));
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    config.resolve_paths(&base_dir);
    Ok(Loaded { config, base_dir, file, places })
}

fn find_file(source: &ConfigSource, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = || environment.get("LONGSHORE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let beside = || Some(PathBuf::from("longshore.toml")).filter(|name| source.working_folder.join(name).exists());
    source.file.clone().or_else(named).or_else(beside)
}

fn cannot_read(file: &Path, error: &std::io::Error) -> ConfigErrors {
    let message = format!("cannot be read: {error}");
    ConfigErrors(vec![ConfigError { key: String::new(), place: file.display().to_string(), message }])
}

fn resolve_secrets(layers: &mut Layers, base: &Path, environment: &BTreeMap<String, String>) {
    let mut missing = Vec::new();
    for (path, setting) in &mut layers.settings {
        let key = known::show(path);
        if let Value::String(text) = &setting.value
            && SECRET_KEYS.contains(&key.as_str())
        {
            match secret::resolve(text, base, environment) {
                Ok(secret) => setting.value = Value::String(secret),
                Err(message) => {
                    missing.push((path.clone(), ConfigError { key, place: setting.place.clone(), message }))
                }
            }
        }
    }
    for (path, error) in missing {
        layers.settings.remove(&path);
        layers.errors.push(error);
    }
}

/// Lays the settings over the defaults. Each is tried alone first; one that is refused is reported and left out.
fn merge(layers: &mut Layers) -> (Table, Places) {
    let mut table = known::defaults().clone();
    let mut places = Places::default();
    for (path, setting) in &layers.settings {
        let key = known::show(path);
        let mut alone = known::defaults().clone();
        insert(&mut alone, path, setting.value.clone());
        places.0.insert(key.clone(), setting.place.clone());
        match alone.try_into::<Config>() {
            Ok(_) => insert(&mut table, path, setting.value.clone()),
            Err(error) => layers.errors.push(wrong_value(key, setting, &error)),
        }
    }
    (table, places)
}

fn wrong_value(key: String, setting: &Setting, error: &toml::de::Error) -> ConfigError {
    let message = if SECRET_KEYS.contains(&key.as_str()) && !setting.value.is_str() {
        "must be text".to_owned()
    } else {
        let whole = "a whole number, 0 or more";
        error
            .message()
            .replace('\n', ", ")
            .replace("expected u32", &format!("expected {whole}"))
            .replace("expected u8", &format!("expected {whole}"))
    };
    ConfigError { key, place: setting.place.clone(), message }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut table = table;
    for parent in parents {
        let inner = table.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else { return };
        table = inner;
    }
    table.insert(last.clone(), value);
}

impl Config {
    /// Gives the settings that follow another one their value, unless they were set themselves.
    fn follow(&mut self, places: &Places) {
        if places.is_set("state_dir") && !places.is_set("store.url") {
            self.store.url = StoreUrl::File { path: self.state_dir.join("store") };
        }
        if !places.is_set("sources.http.total_timeout") {
            self.sources.http.total_timeout =
                TimeSpan::new(self.queue.hold.get() / 25 * 24).max(TimeSpan::new(Duration::from_millis(1)));
        }
        let hosts = std::mem::take(&mut self.limits.host);
        self.limits.host = hosts.into_iter().map(|(host, limit)| (host.to_lowercase(), limit)).collect();
    }

    fn resolve_paths(&mut self, base: &Path) {
        let resolve = |path: &mut PathBuf| *path = base.join(&*path);
        resolve(&mut self.state_dir);
        for url in [Some(&mut self.queue.url), self.events.url.as_mut(), self.webhooks.queue_url.as_mut()]
            .into_iter()
            .flatten()
        {
            if let QueueUrl::Local { path: Some(path) } = url {
                resolve(path);
            }
        }
        if let StoreUrl::File { path } = &mut self.store.url {
            resolve(path);
        }
        if let TeamsSource::File { path } = &mut self.teams.source {
            resolve(path);
        }
        let azure = &mut self.azure;
        let single = [&mut self.queue.sns_certificates, &mut azure.certificate_file, &mut azure.federated_token_file];
        single.into_iter().flatten().for_each(resolve);
        self.sources.file.roots.iter_mut().for_each(resolve);
    }
}
