//! Secrets of a teams file: text, `env:NAME` or `file:PATH`. They are never part of a mistake's words.

use std::path::Path;

use super::section::Section;

/// A larger file is no secret.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Where references are looked up.
pub(super) struct Secrets<'o> {
    /// Gives a variable of the environment.
    pub(super) environment: &'o dyn Fn(&str) -> Option<String>,
    /// What relative paths begin at.
    pub(super) folder: &'o Path,
}

impl Secrets<'_> {
    /// Takes a secret out of a table; a reference that leads nowhere is noted as a mistake.
    pub(super) fn take(&self, section: &mut Section<'_>, key: &str) -> Option<String> {
        let text = section.text(key)?;
        match self.resolve(text) {
            Ok(secret) => Some(secret),
            Err(problem) => {
                section.mistake(key, &problem);
                None
            }
        }
    }

    fn resolve(&self, text: String) -> Result<String, String> {
        let secret = if let Some(name) = text.strip_prefix("env:") {
            (self.environment)(name)
                .ok_or_else(|| format!("names the environment variable {name}, which is not set"))?
        } else if let Some(path) = text.strip_prefix("file:") {
            let read = std::fs::read_to_string(self.folder.join(path));
            let text = read.map_err(|error| format!("names the file {path}: {error}"))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            text
        };
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err("leads to nothing, or to more than a secret".to_owned());
        }
        Ok(secret)
    }
}
