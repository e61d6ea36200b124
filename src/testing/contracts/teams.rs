//! What every directory of teams keeps, as tests over a fixture: [`crate::ports::teams::Teams`] says it in words.
//!
//! [`teams_contract!`](crate::teams_contract) makes one test of each function. Records differ in their profile and in the S3
//! bucket that each lists, which is named after its team: [`bucket_of`]. What else a directory can say of a team is its own
//! matter. A directory that is away is not looked at here, since some never are.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::time::{Instant, sleep};

use crate::domain::id::TeamId;
use crate::ports::teams::{Lookup, Teams};

/// Answers follow a change within this time.
const CHANGE_SEEN: Duration = Duration::from_secs(10);
/// How often a test asks while it waits.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The bucket that a team's record lists.
#[must_use]
pub fn bucket_of(team: &str) -> String {
    format!("{team}-raw")
}

/// Replaces all that the directory holds by these teams, each with the profile it normalizes by and with [its bucket](bucket_of).
pub type Replace = dyn Fn(Vec<(&'static str, &'static str)>) -> BoxFuture<'static, ()> + Send + Sync;

/// A directory that holds nothing yet, and a way to change it.
pub struct Fixture {
    /// The directory.
    pub teams: Arc<dyn Teams>,
    /// Changes it.
    pub replace: Box<Replace>,
    /// Held for as long as the directory must exist.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// Makes one test of each function of the suite; `$fixture` names an async function that returns a
/// `Fixture`. Time is paused; `real_time` before it leaves it running, for a directory behind a socket.
#[macro_export]
macro_rules! teams_contract {
    ($fixture:path) => {
        $crate::teams_contract!(@all [tokio::test(start_paused = true)] $fixture);
    };
    (real_time $fixture:path) => {
        $crate::teams_contract!(@all [tokio::test] $fixture);
    };
    (@all [$test:meta] $fixture:path) => {
        $crate::teams_contract!(@each [$test] $fixture:
            a_team_that_is_not_listed_is_unknown,
            a_listed_team_is_known_with_its_record,
            a_new_team_is_known_within_10_seconds,
            a_changed_record_is_seen_within_10_seconds,
            a_removed_team_is_unknown_within_10_seconds,
            a_change_of_one_team_leaves_the_others,
            lookups_at_the_same_time_agree,
            a_bucket_leads_to_the_team_that_lists_it,
            a_bucket_of_a_removed_team_is_nobodys_within_10_seconds,
        );
    };
    (@each [$test:meta] $fixture:path: $($name:ident,)*) => {
        $(
            #[$test]
            async fn $name() {
                $crate::testing::contracts::teams::$name($fixture().await).await;
            }
        )*
    };
}

/// The profile of a team that is known, `None` for an unknown one.
async fn profile(fixture: &Fixture, name: &str) -> Option<String> {
    let id = TeamId::new(name).expect("a good name");
    match fixture.teams.team(&id).await.expect("the directory is up") {
        Lookup::Known(team) => {
            assert_eq!(team.id, id, "the answer is about the team that was asked for");
            Some(team.record.normalize.clone().unwrap_or_default())
        }
        Lookup::Unknown => None,
    }
}

/// Waits until a team is known with this profile, or unknown; panics after the promised time.
async fn seen(fixture: &Fixture, name: &str, expected: Option<&str>) {
    let until = Instant::now() + CHANGE_SEEN;
    loop {
        let found = profile(fixture, name).await;
        if found.as_deref() == expected {
            return;
        }
        assert!(Instant::now() < until, "team {name} is {found:?} after 10 seconds and should be {expected:?}");
        sleep(ASK_EVERY).await;
    }
}

/// An unknown team is an answer and no error.
pub async fn a_team_that_is_not_listed_is_unknown(fixture: Fixture) {
    assert_eq!(profile(&fixture, "nobody").await, None);
    (fixture.replace)(vec![("acme", "original")]).await;
    seen(&fixture, "acme", Some("original")).await;
    assert_eq!(profile(&fixture, "nobody").await, None);
    assert_eq!(profile(&fixture, "acme2").await, None);
    assert_eq!(profile(&fixture, "acm").await, None);
}

/// Each team has the record that stands at its name.
pub async fn a_listed_team_is_known_with_its_record(fixture: Fixture) {
    (fixture.replace)(vec![("acme", "original"), ("other", "standard")]).await;
    seen(&fixture, "acme", Some("original")).await;
    seen(&fixture, "other", Some("standard")).await;
}

/// A team that was unknown a moment ago becomes known.
pub async fn a_new_team_is_known_within_10_seconds(fixture: Fixture) {
    assert_eq!(profile(&fixture, "acme").await, None);
    (fixture.replace)(vec![("acme", "original")]).await;
    seen(&fixture, "acme", Some("original")).await;
}

/// A record is never older than the promised time.
pub async fn a_changed_record_is_seen_within_10_seconds(fixture: Fixture) {
    for expected in ["original", "standard", "original"] {
        (fixture.replace)(vec![("acme", expected)]).await;
        seen(&fixture, "acme", Some(expected)).await;
    }
}

/// What was revoked is gone.
pub async fn a_removed_team_is_unknown_within_10_seconds(fixture: Fixture) {
    (fixture.replace)(vec![("acme", "original"), ("other", "standard")]).await;
    seen(&fixture, "acme", Some("original")).await;
    (fixture.replace)(vec![("other", "standard")]).await;
    seen(&fixture, "acme", None).await;
    seen(&fixture, "other", Some("standard")).await;
}

/// While one team changes, the others are known without a gap.
pub async fn a_change_of_one_team_leaves_the_others(fixture: Fixture) {
    (fixture.replace)(vec![("acme", "original"), ("other", "standard")]).await;
    seen(&fixture, "other", Some("standard")).await;
    (fixture.replace)(vec![("acme", "standard"), ("other", "standard")]).await;
    let until = Instant::now() + CHANGE_SEEN;
    while Instant::now() < until {
        assert_eq!(profile(&fixture, "other").await.as_deref(), Some("standard"));
        sleep(ASK_EVERY).await;
    }
    assert_eq!(profile(&fixture, "acme").await.as_deref(), Some("standard"));
}

/// Many askers get one answer.
pub async fn lookups_at_the_same_time_agree(fixture: Fixture) {
    (fixture.replace)(vec![("acme", "original")]).await;
    seen(&fixture, "acme", Some("original")).await;
    let answers = join_all((0..64).map(|_| profile(&fixture, "acme"))).await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Some("original")));
}

async fn owner(fixture: &Fixture, bucket: &str) -> Option<String> {
    match fixture.teams.team_of_bucket(bucket).await.expect("the directory is up") {
        Lookup::Known(team) => Some(team.id.to_string()),
        Lookup::Unknown => None,
    }
}

/// A bucket is found by its whole name, and what nobody lists is nobody's.
pub async fn a_bucket_leads_to_the_team_that_lists_it(fixture: Fixture) {
    assert_eq!(owner(&fixture, &bucket_of("acme")).await, None);
    (fixture.replace)(vec![("acme", "original"), ("other", "standard")]).await;
    let until = Instant::now() + CHANGE_SEEN;
    while owner(&fixture, &bucket_of("acme")).await.as_deref() != Some("acme") {
        assert!(Instant::now() < until, "the bucket is nobody's after 10 seconds");
        sleep(ASK_EVERY).await;
    }
    assert_eq!(owner(&fixture, &bucket_of("other")).await.as_deref(), Some("other"));
    assert_eq!(owner(&fixture, "acme").await, None);
    assert_eq!(owner(&fixture, "acme-raw2").await, None);
}

/// What was revoked leads nowhere.
pub async fn a_bucket_of_a_removed_team_is_nobodys_within_10_seconds(fixture: Fixture) {
    (fixture.replace)(vec![("acme", "original"), ("other", "standard")]).await;
    seen(&fixture, "acme", Some("original")).await;
    (fixture.replace)(vec![("other", "standard")]).await;
    seen(&fixture, "acme", None).await;
    assert_eq!(owner(&fixture, &bucket_of("acme")).await, None);
    assert_eq!(owner(&fixture, &bucket_of("other")).await.as_deref(), Some("other"));
}
