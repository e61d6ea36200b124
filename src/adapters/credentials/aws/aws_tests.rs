use std::sync::Mutex;

use futures::future::join_all;

use super::*;
use crate::adapters::credentials::kept::Fresh;
use crate::domain::access::AwsReading;

/// Gives keys called by their number, and writes down what was asked.
#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Assume for Desk {
    async fn assume(&self, wanted: &Wanted<'_>) -> Result<Fresh<AwsKeys>, AttachmentFault> {
        tokio::task::yield_now().await;
        let mut asked = self.asked.lock().unwrap();
        let (role, id) = (wanted.role_arn, wanted.external_id.unwrap_or("-"));
        asked.push(format!("{role} {id} {}", wanted.session_name));
        let keys =
            AwsKeys { access_key_id: asked.len().to_string(), secret_access_key: "s".into(), session_token: None };
        let life = Duration::from_secs(3600);
        Ok(Fresh { keys, life })
    }

    async fn caller(&self) -> Result<AwsCaller, AttachmentFault> {
        Ok(AwsCaller { arn: "arn:aws:iam::111122223333:user/worker".to_owned() })
    }
}

fn identities() -> (AwsIdentities, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let own = Arc::new(Own::new(None));
    let assume = Arc::clone(&desk) as Arc<dyn Assume>;
    (AwsIdentities::asking(own, assume, "r1".into()), desk)
}

fn role(arn: &str, external_id: &str) -> Grant {
    Grant::AwsRole(AwsRole {
        role_arn: arn.into(),
        external_id: Some(external_id.into()),
        reading: AwsReading::default(),
    })
}

async fn key_id(identities: &AwsIdentities, team: &str, grant: &Grant, bucket: &str) -> Result<String, Code> {
    let team = TeamId::new(team).unwrap();
    let wanted = AwsUse { team: &team, grant, bucket };
    let keys = identities.keys(wanted).await;
    keys.map(|keys| keys.access_key_id.clone()).map_err(|fault| fault.code)
}

#[tokio::test]
async fn sessions_are_shared_by_team_role_external_id_and_bucket_alone() {
    let (identities, desk) = identities();
    let (grant, other_role, other_id) = (role("r", "x"), role("s", "x"), role("r", "y"));
    for (team, grant, bucket, expected) in [
        ("acme", &grant, "one", "1"),
        ("acme", &grant, "two", "2"),
        ("bolt", &grant, "one", "3"),
        ("acme", &other_role, "one", "4"),
        ("acme", &other_id, "one", "5"),
        ("acme", &grant, "one", "1"),
    ] {
        assert_eq!(key_id(&identities, team, grant, bucket).await.as_deref(), Ok(expected));
    }
    assert_eq!(desk.asked.lock().unwrap()[0], "r x longshore-acme-r1");
}

#[tokio::test]
async fn what_is_kept_of_a_team_is_dropped_when_its_record_changes_and_nobody_elses() {
    let (identities, _) = identities();
    let grant = role("r", "x");
    for (team, bucket, expected) in [("acme", "one", "1"), ("acme", "two", "2"), ("bolt", "one", "3")] {
        assert_eq!(key_id(&identities, team, &grant, bucket).await.as_deref(), Ok(expected));
    }
    identities.forget(&TeamId::new("acme").unwrap()).await;
    for (team, bucket, expected) in [("bolt", "one", "3"), ("acme", "two", "4"), ("acme", "one", "5")] {
        assert_eq!(key_id(&identities, team, &grant, bucket).await.as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn a_team_at_full_concurrency_assumes_its_role_once() {
    let (identities, desk) = identities();
    let grant = role("r", "x");
    let asked = (0..10_000).map(|_| key_id(&identities, "acme", &grant, "one"));
    assert!(join_all(asked).await.iter().all(|id| id.as_deref() == Ok("1")));
    assert_eq!(desk.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_workers_own_identity_is_used_only_where_the_grant_says_so() {
    let (identities, desk) = identities();
    let own = Grant::AwsOwn(AwsReading::default());
    assert_eq!(key_id(&identities, "acme", &own, "one").await, Err(Code::Unavailable));
    assert_eq!(key_id(&identities, "acme", &Grant::None, "one").await, Err(Code::IntegrationMissing));
    assert!(desk.asked.lock().unwrap().is_empty());
}
