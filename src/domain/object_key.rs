//! Names in internal storage. An object's name is decided before its bytes are read, so whoever copies the same thing finds it.

use std::fmt;

use super::digest::Sha256;
use super::id::{AttachmentId, TaskId, TeamId};
use super::source::Source;

/// A key below the store's prefix: segments of safe characters, never absolute, never `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Keeps `text` as a key.
    ///
    /// # Panics
    /// If a segment is empty, `.` or `..`: keys are made of checked names only.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match Self::parse(&text) {
            Some(key) => key,
            None => panic!("keys are made of checked names, and {text:?} is none"),
        }
    }

    /// Reads a name that others may have given, as in a listing; `None` if it is no key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let safe = text.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']));
        safe.then(|| Self(text.to_owned()))
    }

    /// Whether this is `stem` itself or `stem` with one extension.
    #[must_use]
    pub fn has_stem(&self, stem: &Key) -> bool {
        match self.0.strip_prefix(stem.as_str()) {
            Some("") => true,
            Some(rest) => {
                rest.strip_prefix('.').is_some_and(|extension| !extension.is_empty() && !extension.contains(['.', '/']))
            }
            None => false,
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What decides an object's name.
#[derive(Debug, Clone, Copy)]
pub struct ObjectIdentity<'a> {
    /// Whose object it is: nothing is shared between teams.
    pub team: &'a TeamId,
    /// What it is copied from.
    pub source: &'a Source,
    /// What the source calls these bytes, if it calls them anything.
    pub pin: Option<&'a str>,
    /// What is done to them.
    pub profile_fingerprint: &'a str,
    /// Who asked: it takes the pin's place where the source names no version.
    pub asked_by: AskedBy<'a>,
}

/// The attachment that a copy is made for.
#[derive(Debug, Clone, Copy)]
pub struct AskedBy<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The attachment.
    pub attachment: &'a AttachmentId,
    /// The task's round: a new round looks at an unversioned source anew.
    pub round: u32,
}

/// An object's id: opaque, and the same for everybody who copies the same thing for the same team.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectId {
    team: TeamId,
    digest: Sha256,
}

impl ObjectId {
    /// Decides the name.
    #[must_use]
    pub fn of(identity: &ObjectIdentity<'_>) -> Self {
        let name = identity.source.name();
        let round = identity.asked_by.round.to_string();
        let digest = match identity.pin {
            Some(pin) => Sha256::of_parts(&[
                b"versioned",
                identity.team.as_str().as_bytes(),
                name.as_bytes(),
                pin.as_bytes(),
                identity.profile_fingerprint.as_bytes(),
            ]),
            None => Sha256::of_parts(&[
                b"asked",
                identity.team.as_str().as_bytes(),
                name.as_bytes(),
                identity.asked_by.task.as_str().as_bytes(),
                identity.asked_by.attachment.as_str().as_bytes(),
                round.as_bytes(),
                identity.profile_fingerprint.as_bytes(),
            ]),
        };
        Self { team: identity.team.clone(), digest }
    }

    /// The object's key without its extension: whatever lies at it, or at it with an extension, is this object.
    #[must_use]
    pub fn stem(&self) -> Key {
        let digest = self.digest.to_string();
        Key::new(format!("{}/objects/{}/{digest}", self.team, &digest[..2]))
    }

    /// The object's key with the extension that its type has (`""` for none).
    #[must_use]
    pub fn key(&self, extension: &str) -> Key {
        if extension.is_empty() { self.stem() } else { Key::new(format!("{}.{extension}", self.stem())) }
    }
}

/// Where the facts of the object at `object` stand when its metadata cannot hold them. They go by the whole name, extension and
/// all: should two objects of one id ever stand side by side, each keeps its own.
///
/// # Panics
/// If `object` is no object's key.
#[must_use]
pub fn facts_key(object: &Key) -> Key {
    let (team, name) = object.as_str().split_once("/objects/").expect("objects stand below their team's objects");
    Key::new(format!("{team}/facts/{name}.json"))
}

/// Where the receipt of a task's round stands.
#[must_use]
pub fn receipt_key(team: &TeamId, task: &TaskId, round: u32) -> Key {
    // `~` stands in no id, so no task's name runs into another's round.
    let round = if round <= 1 { String::new() } else { format!("~{round}") };
    Key::new(format!("{team}/receipts/{task}{round}.json"))
}

/// Where a claim stands.
#[must_use]
pub fn claim_key(kind: &str, name: &str) -> Key {
    Key::new(format!("_claims/{kind}/{}.json", Sha256::of(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(team: &str, url: &str, pin: Option<&str>, task: &str, round: u32) -> ObjectId {
        let (team, task) = (TeamId::new(team).expect("good"), TaskId::new(task).expect("good"));
        let (source, attachment) = (Source::parse(url).expect("a URL"), AttachmentId::new("0").expect("good"));
        let asked_by = AskedBy { task: &task, attachment: &attachment, round };
        ObjectId::of(&ObjectIdentity { team: &team, source: &source, pin, profile_fingerprint: "standard@0", asked_by })
    }

    #[test]
    fn a_versioned_source_has_one_name_whoever_asks() {
        let first = id("acme", "https://h/a", Some("\"e1\""), "t-1", 1);
        assert_eq!(first, id("acme", "https://h/a", Some("\"e1\""), "t-2", 3));
        assert_ne!(first, id("acme", "https://h/a", Some("\"e2\""), "t-1", 1));
        assert_ne!(first, id("other", "https://h/a", Some("\"e1\""), "t-1", 1));
        assert_ne!(first, id("acme", "https://h/a?v=2", Some("\"e1\""), "t-1", 1));
    }

    #[test]
    fn an_unversioned_source_is_named_by_who_asks() {
        let first = id("acme", "https://h/a", None, "t-1", 1);
        assert_eq!(first, id("acme", "https://h/a", None, "t-1", 1));
        assert_ne!(first, id("acme", "https://h/a", None, "t-2", 1));
        assert_ne!(first, id("acme", "https://h/a", None, "t-1", 2));
    }

    #[test]
    fn nothing_of_a_team_is_outside_its_prefix() {
        let object = id("acme", "https://h/../../x", None, "t-1", 1);
        assert!(object.key("jpg").as_str().starts_with("acme/objects/"));
        assert!(facts_key(&object.key("jpg")).as_str().starts_with("acme/facts/"));
        let (team, task) = (TeamId::new("acme").expect("good"), TaskId::new("...").expect("good"));
        assert_eq!(receipt_key(&team, &task, 1).as_str(), "acme/receipts/....json");
        assert_eq!(receipt_key(&team, &task, 2).as_str(), "acme/receipts/...~2.json");
    }

    #[test]
    fn a_stem_is_a_key_without_its_one_extension() {
        let stem = Key::new("acme/ab12");
        for (key, expected) in [
            ("acme/ab12", true),
            ("acme/ab12.jpg", true),
            ("acme/ab12.tar.gz", false),
            ("acme/ab12.", false),
            ("acme/ab12.d/x", false),
            ("acme/ab123.jpg", false),
            ("acme/ab1", false),
        ] {
            assert_eq!(Key::new(key).has_stem(&stem), expected, "{key}");
        }
        assert_eq!(Key::parse("acme//x"), None);
    }

    #[test]
    #[should_panic(expected = "checked names")]
    fn a_key_that_climbs_is_no_key() {
        let _ = Key::new("acme/../other/x");
    }
}
