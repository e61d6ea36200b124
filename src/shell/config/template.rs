//! A URL in which a mark such as `{team}` stands where a name goes, as directories of teams have it.
//!
//! What its query holds besides may be a key to the directory: it is kept for use and masked wherever the URL is shown.

use url::{Host, Url};

use super::address::Endpoint;
use super::secret::MASK;
use super::text::{Text, text_type};

/// A URL with a mark in it, whose query is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Returns the URL with all it holds, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Checks that the URL has one `mark` in it. Over plain http only this machine is asked: what comes is whom we trust.
    ///
    /// # Errors
    /// A sentence's part that says what is wrong, and quotes nothing of the URL but its scheme.
    pub(super) fn check(&self, mark: &str) -> Result<(), String> {
        let text = self.expose();
        if text.matches(mark).count() != 1 {
            return Err(format!("is a directory's URL without one {mark} in it"));
        }
        // A mark in the host would let a name choose whom we ask.
        let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '\\', '?', '#']).next());
        let url = Endpoint::from_text(text).ok();
        let url = url.filter(|_| authority.is_some_and(|authority| !authority.contains(mark)));
        let url = url.ok_or_else(|| format!("is no URL with {mark} in its path or query"))?;
        let url = url.expose();
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds credentials, which belong into teams.token".to_owned());
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_here(url) => Ok(()),
            "http" => Err("asks another machine without TLS".to_owned()),
            scheme => Err(format!("has the scheme {scheme:?}")),
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.to_text())
    }
}

impl Text for Template {
    const EXPECTED: &'static str = "a URL such as \"https://HOST/PATH/{team}\"";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        let Some(at) = self.0.find(['?', '#']) else { return self.0.clone() };
        let (place, query) = self.0.split_at(at + 1);
        let shown: Vec<_> = query.split('&').map(masked).collect();
        place.to_owned() + &shown.join("&")
    }
}
text_type!(Template);

/// A part of a query as it may be shown: names, and marks.
fn masked(part: &str) -> String {
    let is_mark = |text: &str| matches!(text, "{team}" | "{bucket}");
    match part.split_once('=') {
        Some((_, value)) if is_mark(value) => part.to_owned(),
        Some((name, _)) => format!("{name}={MASK}"),
        None if is_mark(part) => part.to_owned(),
        None => MASK.to_owned(),
    }
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_holds_is_not_shown() {
        for (text, shown) in [
            ("https://h/{team}", "https://h/{team}"),
            ("https://h/{team}?key=hush", "https://h/{team}?key=***"),
            ("https://h/teams?of={team}&key=hush&v=1", "https://h/teams?of={team}&key=***&v=***"),
            ("https://h/teams?{team}&hush", "https://h/teams?{team}&***"),
            ("https://h/{team}?key=hush{team}", "https://h/{team}?key=***"),
            ("https://h/{team}?key=a=hush?hush#hush", "https://h/{team}?key=***"),
            ("https://h/{team}#hush", "https://h/{team}#***"),
            ("https://h/{bucket}?", "https://h/{bucket}?***"),
        ] {
            let template = Template::from_text(text).unwrap();
            assert_eq!((template.to_text(), format!("{template:?}")), (shown.to_owned(), shown.to_owned()), "{text}");
            assert_eq!(template.expose(), text);
        }
    }
}
