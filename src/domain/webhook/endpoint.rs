//! A customer's endpoint: the unit that is isolated from others, disabled and enabled again.
//!
//! It is a team's URL without query, user-info and fragment, so that it can be written anywhere and a fresh token in a query
//! is the same endpoint.

use url::Url;

use crate::domain::attachment_url::redacted;
use crate::domain::digest::Sha256;
use crate::domain::id::TeamId;
use crate::domain::object_key::Key;

/// A team's endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    team: TeamId,
    url: String,
}

impl Endpoint {
    /// The endpoint of `team` at `url`.
    #[must_use]
    pub fn of(team: &TeamId, url: &Url) -> Self {
        Self { team: team.clone(), url: redacted(url.as_str()) }
    }

    /// Whose it is.
    #[must_use]
    pub fn team(&self) -> &TeamId {
        &self.team
    }

    /// Its URL, fit to be written.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn digest(&self) -> String {
        Sha256::of(self.url.as_bytes()).to_string()[..32].to_owned()
    }

    /// What queues that choose by group are told: deliveries to one endpoint wait behind each other, never behind another's.
    #[must_use]
    pub fn group(&self) -> String {
        format!("{}:{}", self.team, self.digest())
    }

    /// Where it stands whether the endpoint is disabled.
    #[must_use]
    pub fn switch_key(&self) -> Key {
        Key::new(format!("{}/{}.json", switches_folder(&self.team), self.digest()))
    }

    /// Where its last answer stands.
    #[must_use]
    pub fn answer_key(&self) -> Key {
        Key::new(format!("{}/{}.json", answers_folder(&self.team), self.digest()))
    }
}

/// Where a team's switched endpoints stand.
#[must_use]
pub fn switches_folder(team: &TeamId) -> Key {
    Key::new(format!("{team}/state/endpoints"))
}

/// Where the last answers of a team's endpoints stand.
#[must_use]
pub fn answers_folder(team: &TeamId) -> Key {
    Key::new(format!("{team}/state/answers"))
}

/// Where it stands which teams have endpoints: one mark for each.
#[must_use]
pub fn marks_folder() -> Key {
    Key::new("_webhooks")
}

/// Where the mark of `team` stands.
#[must_use]
pub fn mark_key(team: &TeamId) -> Key {
    Key::new(format!("_webhooks/{team}.json"))
}

/// The team whose mark stands at `key`.
#[must_use]
pub fn marked_team(key: &Key) -> Option<TeamId> {
    let name = key.as_str().strip_prefix("_webhooks/")?.strip_suffix(".json")?;
    TeamId::new(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(team: &str, url: &str) -> Endpoint {
        Endpoint::of(&TeamId::new(team).expect("good"), &Url::parse(url).expect("a URL"))
    }

    #[test]
    fn an_endpoint_is_a_teams_url_without_what_may_be_secret() {
        let one = endpoint("acme", "https://u:p@h.com/hook?token=1#f");
        assert_eq!(one, endpoint("acme", "https://h.com/hook?token=2"));
        assert_eq!(one.url(), "https://h.com/hook");
        for other in [endpoint("b", "https://h.com/hook"), endpoint("acme", "https://h.com/other")] {
            assert_ne!(one, other);
            assert_ne!(one.group(), other.group());
            assert_ne!(one.switch_key(), other.switch_key());
        }
    }

    #[test]
    fn what_is_kept_of_an_endpoint_is_below_its_teams_prefix_and_a_group_is_a_name_that_sqs_takes() {
        let one = endpoint(&"t".repeat(64), "https://h.com/hook");
        assert!(one.switch_key().as_str().starts_with(&format!("{}/state/endpoints/", one.team())));
        assert!(one.answer_key().as_str().starts_with(&format!("{}/state/answers/", one.team())));
        assert!(one.group().len() <= 128 && one.group().bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(marked_team(&mark_key(one.team())).as_ref(), Some(one.team()));
    }
}
