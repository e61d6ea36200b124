//! Secrets of a team's record: text, and in a teams file also `env:NAME` or `file:PATH`. They are never part of a mistake's words.

use std::path::Path;

use super::section::Section;

/// A larger file is no secret.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// How secrets are written.
pub(super) enum Secrets<'o> {
    /// As text or as references, for whoever may read this machine anyway.
    Referred {
        /// Gives a variable of the environment.
        environment: &'o dyn Fn(&str) -> Option<String>,
        /// What relative paths begin at.
        folder: &'o Path,
    },
    /// As text only.
    Literal,
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
        let secret = match (text.strip_prefix("env:"), text.strip_prefix("file:"), self) {
            (None, None, _) => text,
            (_, _, Self::Literal) => return Err("must be the secret itself, and no reference".to_owned()),
            (Some(name), _, Self::Referred { environment, .. }) => {
                environment(name).ok_or_else(|| format!("names the environment variable {name}, which is not set"))?
            }
            (_, Some(path), Self::Referred { folder, .. }) => {
                let read = std::fs::read_to_string(folder.join(path));
                let text = read.map_err(|error| format!("names the file {path}: {error}"))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err("leads to nothing, or to more than a secret".to_owned());
        }
        Ok(secret)
    }
}
