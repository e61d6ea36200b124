//! A directory that is ill. What must never happen: that a team is called unknown because nobody could be asked.

use std::time::Duration;

use longshore::adapters::teams::served::DirectoryOptions;
use longshore::ports::teams::Teams;
use tokio::time::{Instant, sleep};

use super::desk::{Desk, Mood, directory, known, profile};

const PAST_FRESH: Duration = Duration::from_millis(150);

/// Every way to be ill.
fn ill() -> Vec<Mood> {
    vec![
        Mood::Says(500, "hush"),
        Mood::Says(502, "<html>hush</html>"),
        Mood::Says(503, "{}"),
        Mood::Says(429, ""),
        Mood::Says(401, "hush"),
        Mood::Says(403, ""),
        Mood::Says(400, ""),
        Mood::Says(302, ""),
        Mood::Says(204, ""),
        Mood::Says(304, ""),
        Mood::Says(200, ""),
        Mood::Says(200, "<html>log in, hush</html>"),
        Mood::Says(200, "[]"),
        Mood::Says(200, "\u{0}\u{1}"),
        Mood::Cut,
        Mood::Slow(Duration::from_secs(5)),
    ]
}

#[tokio::test]
async fn a_directory_that_is_ill_calls_nobody_unknown_and_its_records_stand_in() {
    for mood in ill() {
        let desk = Desk::open().await;
        desk.put("acme", r#"{"normalize": "original"}"#);
        let teams = directory(desk.options());
        assert_eq!(profile(&teams, "acme").await, known("original"));
        assert_eq!(profile(&teams, "gone").await, Ok(None));
        desk.is(mood.clone());
        sleep(PAST_FRESH).await;
        for team in ["gone", "new"] {
            let found = profile(&teams, team).await;
            assert!(found.is_err(), "{mood:?}: {team} is {found:?}");
        }
        // To what it said itself a moment ago "not changed" is a good answer.
        assert_eq!(profile(&teams, "acme").await, known("original"), "{mood:?}");
        assert!(teams.team_of_bucket("new-raw").await.is_err(), "{mood:?}");
        desk.is(Mood::Well);
        desk.put("new", r#"{"normalize": "standard"}"#);
        sleep(PAST_FRESH).await;
        assert_eq!(profile(&teams, "new").await, known("standard"), "{mood:?}");
        assert_eq!(profile(&teams, "gone").await, Ok(None), "{mood:?}");
    }
}

#[tokio::test]
async fn a_directory_that_is_gone_is_away() {
    let desk = Desk::open().await;
    desk.put("acme", r#"{"normalize": "original"}"#);
    let teams = directory(desk.options());
    assert_eq!(profile(&teams, "acme").await, known("original"));
    drop(desk);
    sleep(PAST_FRESH).await;
    assert_eq!(profile(&teams, "acme").await, known("original"));
    let found = profile(&teams, "new").await;
    assert!(found.as_ref().is_err_and(|why| why.contains("the connection was refused")), "{found:?}");
}

#[tokio::test]
async fn a_record_stands_in_for_so_long_and_no_longer() {
    let desk = Desk::open().await;
    desk.put("acme", r#"{"normalize": "original"}"#);
    let teams = directory(DirectoryOptions { stale_max: Duration::from_secs(2), ..desk.options() });
    assert_eq!(profile(&teams, "acme").await, known("original"));
    let said_at = Instant::now();
    desk.is(Mood::Says(500, ""));
    while profile(&teams, "acme").await == known("original") {
        assert!(said_at.elapsed() < Duration::from_millis(2100), "it stands in for too long");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(said_at.elapsed() > Duration::from_millis(1500), "{:?}", said_at.elapsed());
    assert!(profile(&teams, "acme").await.is_err(), "and is not unknown either");
}

#[tokio::test]
async fn a_team_that_was_taken_away_does_not_come_back_with_an_outage() {
    let desk = Desk::open().await;
    desk.put("acme", r#"{"normalize": "original"}"#);
    let teams = directory(desk.options());
    assert_eq!(profile(&teams, "acme").await, known("original"));
    for status in [404, 410] {
        desk.is(Mood::Says(status, ""));
        sleep(PAST_FRESH).await;
        assert_eq!(profile(&teams, "acme").await, Ok(None));
    }
    desk.is(Mood::Says(500, ""));
    sleep(PAST_FRESH).await;
    assert!(profile(&teams, "acme").await.is_err());
}

#[tokio::test]
async fn a_record_that_breaks_the_rules_is_its_own_teams_trouble() {
    let desk = Desk::open().await;
    desk.put("acme", r#"{"normalize": "original"}"#);
    desk.put("beta", r#"{"normalize": "standard"}"#);
    let teams = directory(DirectoryOptions { stale_max: Duration::from_secs(1), ..desk.options() });
    assert_eq!(profile(&teams, "acme").await, known("original"));
    for bad in [r#"{"colour": 1}"#, r#"{"callback": {"auth_key": "file:/etc/hush"}}"#] {
        desk.put("acme", bad);
        desk.put("new", bad);
        sleep(PAST_FRESH).await;
        assert_eq!(profile(&teams, "new").await, Ok(None), "{bad}");
        assert_eq!(profile(&teams, "beta").await, known("standard"), "{bad}");
    }
    assert_eq!(profile(&teams, "acme").await, known("original"), "the last good one");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(profile(&teams, "acme").await, Ok(None), "not for ever");
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_none() {
    let desk = Desk::open().await;
    let long = format!(r#"{{"normalize": "{}"}}"#, "x".repeat(100_000));
    desk.put("acme", &long);
    let found = profile(&directory(desk.options()), "acme").await;
    assert!(found.as_ref().is_err_and(|why| why.contains("larger than")), "{found:?}");
}

#[tokio::test]
async fn a_wrong_token_is_an_outage_that_says_where_to_look() {
    let desk = Desk::open().await;
    desk.put("acme", "{}");
    let options = DirectoryOptions { token: Some("hush".into()), ..desk.options() };
    assert!(!format!("{options:?}").contains("hush"));
    let found = profile(&directory(options), "acme").await;
    assert!(found.as_ref().is_err_and(|why| why.contains("look at teams.token")), "{found:?}");
}
