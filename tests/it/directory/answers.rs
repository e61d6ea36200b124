//! A directory that is well: the contract, and how little it is asked.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use longshore::adapters::fetch::service::HttpService;
use longshore::adapters::teams::served::{DirectoryOptions, TeamsDirectory};
use longshore::ports::teams::{Lookup, Teams};
use longshore::testing::contracts::teams::Fixture;
use tokio::time::sleep;

use super::desk::{Desk, directory, known, profile};
use crate::fetch::Script;
use crate::fetch::server::answer;
use crate::fetch::tls::{roots, serving};

async fn fixture() -> Fixture {
    let desk = Arc::new(Desk::open().await);
    let teams = directory(DirectoryOptions { fresh: Duration::from_secs(2), ..desk.options() });
    let changed = Arc::clone(&desk);
    let replace = move |teams: Vec<(&'static str, &'static str)>| {
        changed.replace(&teams);
        Box::pin(std::future::ready(())) as futures::future::BoxFuture<'static, ()>
    };
    Fixture { teams: Arc::new(teams), replace: Box::new(replace), keep: Box::new(desk) }
}

mod contract {
    use super::fixture;

    longshore::teams_contract!(real_time fixture);
}

#[tokio::test]
async fn a_team_is_asked_for_once_by_all_and_only_again_whether_it_changed() {
    let desk = Desk::open().await;
    desk.put("acme", r#"{"normalize": "original"}"#);
    let teams = directory(DirectoryOptions { fresh: Duration::from_secs(1), ..desk.options() });
    let found = join_all((0..500).map(|_| profile(&teams, "acme"))).await;
    assert!(found.iter().all(|found| *found == known("original")), "{:?}", found[0]);
    assert_eq!(desk.server.seen().len(), 1);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(profile(&teams, "acme").await, known("original"));
    let seen = desk.server.seen();
    assert_eq!(seen.len(), 2);
    assert!(!seen[0].fields.contains_key("if-none-match"));
    assert!(seen[1].fields.contains_key("if-none-match"), "{seen:?}");
}

#[tokio::test]
async fn that_a_team_is_unknown_is_remembered_for_a_moment_too() {
    let desk = Desk::open().await;
    let teams = directory(DirectoryOptions { fresh: Duration::from_secs(1), ..desk.options() });
    for _ in 0..50 {
        assert_eq!(profile(&teams, "nobody").await, Ok(None));
    }
    assert_eq!(desk.server.seen().len(), 1);
}

#[tokio::test]
async fn without_a_place_to_ask_a_bucket_leads_to_teams_that_were_asked_for() {
    let desk = Desk::open().await;
    desk.replace(&[("acme", "original")]);
    let teams = directory(DirectoryOptions { bucket_url: None, ..desk.options() });
    let owner = async || match teams.team_of_bucket("acme-raw").await {
        Ok(Lookup::Known(team)) => Some(team.id.to_string()),
        Ok(Lookup::Unknown) => None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(owner().await, None, "nobody has asked for it");
    assert_eq!(profile(&teams, "acme").await, known("original"));
    assert_eq!(owner().await.as_deref(), Some("acme"));
    desk.take_away("acme");
    sleep(Duration::from_millis(150)).await;
    assert_eq!(owner().await, None);
}

#[tokio::test]
async fn what_is_said_of_a_bucket_does_not_count_without_the_record() {
    let desk = Desk::open().await;
    // The desk says that acme-raw is acme's, whose record lists another.
    desk.put("acme", r#"{"aws": {"buckets": ["other"]}}"#);
    let teams = directory(desk.options());
    assert_eq!(teams.team_of_bucket("acme-raw").await.unwrap(), Lookup::Unknown);
    for odd in ["..", "a/b/acme-raw", "acme%2fraw", "acme-raw?x", ""] {
        assert_eq!(teams.team_of_bucket(odd).await.unwrap(), Lookup::Unknown, "{odd}");
    }
    assert!(desk.server.seen().iter().all(|asked| !asked.target.contains("..") && !asked.target.contains('%')));
}

#[tokio::test]
async fn a_directory_is_asked_over_tls_only_with_a_trusted_certificate() {
    let server = serving(answer(200, "", br#"{"normalize": "original"}"#)).await;
    let asked = |roots| {
        let names = Script::new(&[("tls.test", &[&["127.0.0.1"]])]);
        let service = HttpService::with(Duration::from_secs(2), 1000, names, roots).unwrap();
        let team_url = format!("https://tls.test:{}/{{team}}", server.port);
        TeamsDirectory::new(
            Arc::new(service),
            DirectoryOptions {
                team_url,
                bucket_url: None,
                token: None,
                integration_role_name: String::new(),
                fresh: Duration::from_secs(1),
                stale_max: Duration::from_secs(1),
            },
        )
    };
    assert_eq!(profile(&asked(roots()), "acme").await, known("original"));
    let untrusted = profile(&asked(rustls::RootCertStore::empty()), "acme").await;
    assert!(untrusted.as_ref().is_err_and(|why| why.contains("certificate is not trusted")), "{untrusted:?}");
}
