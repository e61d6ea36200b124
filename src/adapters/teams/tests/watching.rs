//! What becomes of a teams file that changes while it is looked at.

use std::time::Duration;

use super::*;

async fn lookup(teams: &TeamsFile, name: &str) -> Lookup {
    let id = TeamId::new(name).expect("a good name");
    teams.team(&id).await.expect("a file is always up")
}

async fn later() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_good_edit_is_taken_within_10_seconds_and_a_bad_one_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("teams.toml");
    std::fs::write(&path, "[acme]\n").expect("written");
    let teams = TeamsFile::open(&path, &options(folder.path())).expect("a good file");
    assert!(matches!(lookup(&teams, "acme").await, Lookup::Known(_)));
    assert_eq!(lookup(&teams, "other").await, Lookup::Unknown);

    std::fs::write(&path, "[acme]\n[other]\n").expect("written");
    later().await;
    assert!(matches!(lookup(&teams, "other").await, Lookup::Known(_)));

    std::fs::write(&path, "[third]\ncolour = 1\n").expect("written");
    later().await;
    assert!(matches!(lookup(&teams, "acme").await, Lookup::Known(_)));
    assert_eq!(lookup(&teams, "third").await, Lookup::Unknown);

    std::fs::remove_file(&path).expect("removed");
    later().await;
    assert!(matches!(lookup(&teams, "acme").await, Lookup::Known(_)));

    std::fs::write(&path, "[third]\n").expect("written");
    later().await;
    assert!(matches!(lookup(&teams, "third").await, Lookup::Known(_)));
    assert_eq!(lookup(&teams, "acme").await, Lookup::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changes_beside_an_unchanged_file_is_read_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("teams.toml");
    std::fs::write(folder.path().join("key"), "old").expect("written");
    std::fs::write(&path, "[a.callback]\nauth_key = \"file:key\"\n").expect("written");
    let teams = TeamsFile::open(&path, &options(folder.path())).expect("a good file");
    std::fs::write(folder.path().join("key"), "new").expect("written");
    later().await;
    let secret = team(&teams.directory(), "a").callback.and_then(|callback| callback.auth_key);
    assert_eq!(secret.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_file_that_is_missing_or_bad_at_the_start_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("teams.toml");
    let error = TeamsFile::open(&path, &options(folder.path())).expect_err("missing");
    assert!(error.to_string().contains("teams.toml cannot be read"), "{error}");
    std::fs::write(&path, "[A]\n[B]\n").expect("written");
    let error = TeamsFile::open(&path, &options(folder.path())).expect_err("bad");
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
}

#[cfg(feature = "testing")]
mod contract {
    use super::*;
    use crate::testing::contracts::teams::{Fixture, bucket_of};

    async fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("teams.toml");
        std::fs::write(&path, "").expect("written");
        let teams = TeamsFile::open(&path, &options(folder.path())).expect("a good file");
        Fixture {
            teams: Arc::new(teams),
            replace: Box::new(move |list| {
                let tables = list.iter().map(|(name, profile)| {
                    let bucket = bucket_of(name);
                    format!(
                        "[{name}]\nnormalize = \"{profile}\"\n[{name}.aws]\naccess = \"cross-account\"\nbuckets = [\"{bucket}\"]\n"
                    )
                });
                // Written whole beside the file and renamed, as editors and Kubernetes do.
                let new = path.with_extension("new");
                std::fs::write(&new, tables.collect::<String>()).expect("written");
                std::fs::rename(&new, &path).expect("renamed");
                Box::pin(async {})
            }),
            keep: Box::new(folder),
        }
    }

    crate::teams_contract!(fixture);
}
