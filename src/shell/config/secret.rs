//! Secrets: text that is used but never shown, and the references by which a file names them.
//!
//! A reference (`env:NAME`, `file:PATH`) is resolved once, when the configuration is loaded.
//! Nothing here can print a secret: `Debug`, `Display` and serde all write `***`.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::text::{Text, text_type};

/// What stands for a secret wherever it would be shown.
pub const MASK: &str = "***";

/// A secret text.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Returns the secret itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(MASK)
    }
}

impl Text for Secret {
    const EXPECTED: &'static str = "a secret: text, \"env:NAME\" or \"file:PATH\"";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(SecretString::from(text)))
    }

    fn to_text(&self) -> String {
        MASK.to_owned()
    }
}
text_type!(Secret);

/// Returns what `text` refers to, or `text` itself where it is no reference.
///
/// A relative path starts at `base`; the line break that ends a secret's file is no part of the secret.
///
/// # Errors
/// What is not there or cannot be read, and what to do. The secret is never quoted.
pub(super) fn resolve(text: &str, base: &Path, environment: &BTreeMap<String, String>) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("env:") {
        let found = environment.get(name).filter(|value| !value.is_empty());
        return found
            .cloned()
            .ok_or_else(|| format!("the environment variable {name} is not set: set it, or change the reference"));
    }
    let Some(path) = text.strip_prefix("file:") else {
        return Ok(text.to_owned());
    };
    let path = base.join(path);
    let content = std::fs::read_to_string(&path)
        .map_err(|error| format!("the secret's file {} cannot be read: {error}", path.display()))?;
    let secret = content.strip_suffix('\n').unwrap_or(&content);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("the secret's file {} is empty", path.display()));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "from-file\r\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let environment = [("KEY".to_owned(), "from-env".to_owned()), ("EMPTY".to_owned(), String::new())].into();
        match (resolve(text, folder.path(), &environment), expected) {
            (Ok(secret), Ok(wanted)) => assert_eq!(secret, wanted),
            (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
            (got, wanted) => panic!("{text}: {got:?}, expected {wanted:?}"),
        }
    }

    #[test]
    fn references_are_resolved_and_plain_text_stays() {
        check("plain", Ok("plain"));
        check("env:KEY", Ok("from-env"));
        check("file:key", Ok("from-file"));
    }

    #[test]
    fn a_reference_that_is_not_there_is_refused() {
        check("env:OTHER", Err("OTHER is not set"));
        check("env:EMPTY", Err("EMPTY is not set"));
        check("file:other", Err("cannot be read"));
        check("file:empty", Err("is empty"));
    }

    #[test]
    fn no_way_of_printing_shows_the_secret() {
        let secret = Secret::from_text("hush").unwrap();
        assert_eq!(format!("{secret:?} {secret}"), "*** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "hush");
    }
}
