//! What a check makes of answers that show nothing.

use std::collections::VecDeque;
use std::sync::Mutex;

use longshore::adapters::fetch::s3::AwsChecks;
use longshore::domain::integration::{CheckName, Verdict};
use longshore::ports::credentials::{AwsCaller, AwsKeys, AwsRoles, RoleTried};
use longshore::ports::integrations::{CheckAsked, IntegrationChecks};

use super::access::Fixed;
use super::*;

/// Answers each try of a role with the next of these.
struct Scripted(Mutex<VecDeque<RoleTried>>);

#[async_trait]
impl AwsRoles for Scripted {
    async fn try_role(&self, _: &TeamId, _: &str, _: Option<&str>) -> RoleTried {
        self.0.lock().unwrap().pop_front().expect("no more tries than are in the script")
    }

    async fn caller(&self) -> Result<AwsCaller, AttachmentFault> {
        Err(AttachmentFault::new(Code::Unavailable, "nobody"))
    }
}

fn unclear(code: Code) -> RoleTried {
    RoleTried::Unclear(AttachmentFault::new(code, "some trouble"))
}

async fn check(tries: Vec<RoleTried>, expected: [Verdict; 2]) {
    let keys = AwsKeys { access_key_id: "k".into(), secret_access_key: "s".into(), session_token: None };
    let s3 = fetcher("http://127.0.0.1:1", Arc::new(Fixed(Arc::new(keys))));
    let shown = format!("{tries:?}");
    let checks = AwsChecks::new(Arc::new(s3), Arc::new(Scripted(Mutex::new(tries.into()))));
    let aws = AwsGrant {
        role_arn: Some("arn:aws:iam::111122223333:role/r".into()),
        external_id: Some("x".into()),
        ..AwsGrant::default()
    };
    let record = Team { aws: Some(aws), ..Team::default() };
    let team = Arc::new(KnownTeam { id: TeamId::new("acme").unwrap(), record });
    let findings = checks.check(&CheckAsked { team, places: Vec::new(), objects: Vec::new(), cors_origin: None }).await;
    let found: Vec<(CheckName, Verdict)> = findings.iter().map(|finding| (finding.name, finding.verdict)).collect();
    let names = [CheckName::RoleCanBeAssumed, CheckName::ExternalIdRequired];
    assert_eq!(found, names.into_iter().zip(expected).collect::<Vec<_>>(), "{shown}: {findings:?}");
}

#[tokio::test]
async fn only_a_plain_refusal_counts_as_one() {
    use RoleTried::{LetIn, Refused};
    use Verdict::{Bad, Good, Unproven};
    check(vec![LetIn, Refused, Refused], [Good, Good]).await;
    check(vec![LetIn, LetIn], [Good, Bad]).await;
    check(vec![LetIn, Refused, LetIn], [Good, Bad]).await;
    check(vec![LetIn, unclear(Code::Throttled)], [Good, Unproven]).await;
    check(vec![LetIn, Refused, unclear(Code::IntegrationBroken)], [Good, Unproven]).await;
    check(vec![Refused, Refused, Refused], [Bad, Unproven]).await;
    check(vec![Refused, LetIn], [Bad, Bad]).await;
    check(vec![unclear(Code::Unavailable), Refused, Refused], [Unproven, Unproven]).await;
    check(vec![unclear(Code::IntegrationBroken), unclear(Code::Unavailable)], [Bad, Unproven]).await;
}
