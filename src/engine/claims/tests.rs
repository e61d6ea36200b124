//! Claims on a small store of documents: one that can be away, and one that others write to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::time::advance;

use super::*;
use crate::domain::webhook::body::Link;
use crate::ports::store::{Head, ObjectStream, Upload};

/// A store of documents that counts how often it is asked. Objects and uploads have no part in claims: it refuses them.
#[derive(Default)]
struct Papers {
    papers: Mutex<BTreeMap<Key, Bytes>>,
    asked: AtomicUsize,
    away: AtomicBool,
    /// The next put is done, but its answer is lost.
    loses_answer: AtomicBool,
}

impl Papers {
    fn papers(&self) -> MutexGuard<'_, BTreeMap<Key, Bytes>> {
        self.papers.lock().expect("no test panics with the lock held")
    }

    fn ask(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        Ok(())
    }
}

fn no_object<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("only documents are kept here".to_owned()))
}

#[async_trait]
impl Store for Papers {
    fn keeps_facts(&self) -> bool {
        false
    }

    async fn put_if_absent(&self, key: &Key, content: Bytes, _: ObjectMeta<'_>) -> Result<Put, StoreError> {
        self.ask()?;
        let exists = self.papers().contains_key(key);
        if !exists {
            self.papers().insert(key.clone(), content);
        }
        if self.loses_answer.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(if exists { Put::Exists } else { Put::Stored })
    }

    async fn begin(&self, _: &Key, _: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        no_object()
    }

    async fn head(&self, _: &Key) -> Result<Option<Head>, StoreError> {
        no_object()
    }

    async fn find(&self, _: &Key) -> Result<Option<Key>, StoreError> {
        no_object()
    }

    async fn read(&self, _: &Key) -> Result<Option<ObjectStream>, StoreError> {
        no_object()
    }

    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        self.ask()?;
        let found = self.papers().get(key).cloned();
        assert!(found.as_ref().is_none_or(|content| content.len() <= bytes_max));
        // Lets racing claims see the same emptiness.
        tokio::task::yield_now().await;
        Ok(found)
    }

    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        self.ask()?;
        self.papers().insert(key.clone(), content);
        Ok(())
    }

    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.ask()?;
        let below = format!("{folder}/");
        let papers = self.papers();
        let keys =
            papers.keys().filter(|key| key.as_str().starts_with(&below) && after.is_none_or(|after| *key > after));
        Ok(keys.take(limit).cloned().collect())
    }

    fn uri(&self, key: &Key) -> String {
        format!("memory:{key}")
    }

    async fn link(&self, _: &Key, _: Duration) -> Result<Option<Link>, StoreError> {
        no_object()
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.ask()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.ask()
    }
}

fn team(name: &str) -> TeamId {
    TeamId::new(name).expect("a good name")
}

fn clock() -> Clock {
    Clock::starting("2026-11-21T20:10:00Z".parse().expect("a time"))
}

/// Two workers on one store.
fn two_workers() -> (Arc<Papers>, Claims, Claims) {
    let store = Arc::new(Papers::default());
    let worker = || Claims::new(Arc::clone(&store) as Arc<dyn Store>, clock());
    let (first, second) = (worker(), worker());
    (store, first, second)
}

async fn answer(claims: &Claims, name: &str, who: &str) -> ClaimAnswer {
    let answer = claims.claim(ClaimKind::Bucket, name, &team(who)).await;
    answer.expect("the store is up")
}

#[tokio::test(start_paused = true)]
async fn the_first_team_has_it_and_any_other_hears_whose_it_is() {
    let (store, first, second) = two_workers();
    assert_eq!(answer(&first, "raw", "acme").await, ClaimAnswer::Ours);
    assert_eq!(answer(&second, "raw", "acme").await, ClaimAnswer::Ours);
    assert_eq!(answer(&second, "raw", "other").await, ClaimAnswer::Other(team("acme")));
    assert_eq!(answer(&first, "raw", "other").await, ClaimAnswer::Other(team("acme")));
    assert_eq!(answer(&second, "raw2", "other").await, ClaimAnswer::Ours);
    let role = second.claim(ClaimKind::Role, "raw", &team("other")).await;
    assert_eq!(role.expect("up"), ClaimAnswer::Ours, "kinds are apart");
    assert_eq!(store.papers().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn another_spelling_of_a_claimed_name_is_the_same_claim() {
    let (store, first, second) = two_workers();
    for (kind, one, other) in [
        (ClaimKind::Role, "arn:aws:iam::111122223333:role/Longshore", "arn:aws:iam::111122223333:role/x/longshore"),
        (ClaimKind::Tenant, "7c2f0000-ab00-0000-0000-000000000000", "7C2F0000AB0000000000000000000000"),
        (ClaimKind::Account, "acmeblob", "AcmeBlob"),
        (ClaimKind::ServiceAccount, "l-ab12cd34@p.iam.gserviceaccount.com", "L-ab12cd34@P.iam.gserviceaccount.com"),
        (ClaimKind::Uid, "ab12cd34", "AB12CD34"),
    ] {
        let (acme, bolt) = (team("acme"), team("bolt"));
        assert_eq!(first.claim(kind, one, &acme).await.expect("up"), ClaimAnswer::Ours, "{one}");
        assert_eq!(second.claim(kind, other, &acme).await.expect("up"), ClaimAnswer::Ours, "{other}");
        assert_eq!(second.claim(kind, other, &bolt).await.expect("up"), ClaimAnswer::Other(acme.clone()), "{other}");
        assert_eq!(first.holder(kind, other).await.expect("up"), Some(acme), "{other}");
        let moved = first.move_to(kind, other, &bolt).await.expect("up");
        assert_eq!(moved.team, bolt, "{other}");
        assert_eq!(first.claim(kind, one, &bolt).await.expect("up"), ClaimAnswer::Ours, "{one}");
    }
    assert_eq!(store.papers().len(), 5, "one document for each");
}

#[tokio::test(start_paused = true)]
async fn racing_claims_have_one_winner() {
    let (_, first, _) = two_workers();
    let names: Vec<String> = (0..16).map(|number| format!("team-{number}")).collect();
    let answers = futures::future::join_all(names.iter().map(|who| answer(&first, "raw", who))).await;
    let winners: Vec<_> =
        names.iter().zip(&answers).filter(|(_, answer)| **answer == ClaimAnswer::Ours).map(|(who, _)| who).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    let other = ClaimAnswer::Other(team(winners[0]));
    assert_eq!(answers.iter().filter(|answer| **answer == other).count(), 15);
}

#[tokio::test(start_paused = true)]
async fn only_ours_is_remembered_and_for_10_seconds_at_most() {
    let (store, first, second) = two_workers();
    let asked = || store.asked.load(Ordering::SeqCst);
    answer(&first, "raw", "acme").await;
    let before = asked();
    advance(Duration::from_millis(9_900)).await;
    assert_eq!(answer(&first, "raw", "acme").await, ClaimAnswer::Ours);
    assert_eq!(asked(), before, "remembered");
    answer(&first, "raw", "other").await;
    answer(&first, "raw", "other").await;
    assert_eq!(asked(), before + 2, "another's is asked for each time");

    second.move_to(ClaimKind::Bucket, "raw", &team("other")).await.expect("up");
    advance(Duration::from_millis(100)).await;
    assert_eq!(answer(&first, "raw", "acme").await, ClaimAnswer::Other(team("other")));
    assert_eq!(answer(&first, "raw", "other").await, ClaimAnswer::Ours);
}

#[tokio::test(start_paused = true)]
async fn a_move_is_known_at_once_where_it_was_made_and_tells_who_had_it() {
    let (_, first, _) = two_workers();
    answer(&first, "raw", "acme").await;
    advance(Duration::from_secs(2)).await;
    let moved = first.move_to(ClaimKind::Bucket, "raw", &team("other")).await;
    let expected = Claim {
        kind: ClaimKind::Bucket,
        name: "raw".into(),
        team: team("other"),
        claimed_at: "2026-11-21T20:10:02Z".parse().expect("a time"),
        moved_from: Some(team("acme")),
    };
    assert_eq!(moved.expect("up"), expected);
    assert_eq!(answer(&first, "raw", "acme").await, ClaimAnswer::Other(team("other")));
    advance(Duration::from_secs(2)).await;
    let again = first.move_to(ClaimKind::Bucket, "raw", &team("other")).await;
    assert_eq!(again.expect("up"), expected, "a repeated move changes nothing");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_claimed_can_be_given_to_a_team() {
    let (_, first, _) = two_workers();
    let claim = first.move_to(ClaimKind::Uid, "ab12cd34", &team("acme")).await;
    assert_eq!(claim.expect("up").moved_from, None);
    let answer = first.claim(ClaimKind::Uid, "ab12cd34", &team("other")).await;
    assert_eq!(answer.expect("up"), ClaimAnswer::Other(team("acme")));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_nobody_an_owner() {
    let (store, first, _) = two_workers();
    store.away.store(true, Ordering::SeqCst);
    let answered = first.claim(ClaimKind::Bucket, "raw", &team("acme")).await;
    assert!(answered.expect_err("away").is_transient());
    store.away.store(false, Ordering::SeqCst);
    store.loses_answer.store(true, Ordering::SeqCst);
    let answered = first.claim(ClaimKind::Bucket, "raw", &team("acme")).await;
    assert!(answered.is_err(), "a lost answer is no claim");
    assert_eq!(answer(&first, "raw", "acme").await, ClaimAnswer::Ours, "repeated, it is ours");
    assert_eq!(answer(&first, "raw", "other").await, ClaimAnswer::Other(team("acme")));
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_no_claim_of_this_name_is_corrupt() {
    let (store, first, _) = two_workers();
    answer(&first, "raw", "acme").await;
    let claim = store.papers().values().next().cloned().expect("a claim");
    for content in [claim, Bytes::from_static(b"{}"), Bytes::from_static(b"\xFF")] {
        store.papers().insert(claim_key("bucket", "other"), content);
        let answered = first.claim(ClaimKind::Bucket, "other", &team("acme")).await;
        assert!(matches!(answered, Err(StoreError::Corrupt(_))), "{answered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_listed_by_kind_and_name_over_several_pages() {
    let (store, first, _) = two_workers();
    for number in 0..1_001 {
        let who = if number % 2 == 0 { "acme" } else { "other" };
        answer(&first, &format!("b-{number:04}"), who).await;
    }
    first.claim(ClaimKind::Role, "a-role", &team("acme")).await.expect("up");
    store.papers().insert(Key::new("acme/receipts/t.json"), Bytes::new());
    let all = first.list(None).await.expect("up");
    assert_eq!(all.len(), 1_002);
    assert_eq!(all[0].name, "b-0000");
    assert_eq!(all[1_001].kind, ClaimKind::Role);
    let others = first.list(Some(&team("other"))).await.expect("up");
    assert_eq!(others.len(), 500);
    assert!(others.iter().all(|claim| claim.team == team("other")));
}

#[test]
fn kinds_are_written_as_they_are_read() {
    for kind in ClaimKind::ALL {
        assert_eq!(ClaimKind::parse(kind.as_str()), Some(*kind));
        assert_eq!(serde_json::to_value(kind).expect("text"), kind.as_str());
    }
    assert_eq!(ClaimKind::parse("Bucket"), None);
}
