//! Grants on S3, before the test bed's AWS, which enforces trust policies, bucket policies and the ends of sessions.

use serde_json::json;

use super::{Column, Found, LARGE, ended_in_the_middle};
use crate::bed;
use crate::fault_proxy::FaultProxy;
use crate::grants::office::{Office, delegated, no_plain_host};
use crate::s3source::cloud::{Cloud, EXTERNAL_ID, Plan, control, journal, trust};

/// How a customer lets a team in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By a role with the team's external id.
    Role,
    /// By the role that the deployment names, in the customer's account.
    Account,
    /// By a role that asks for no external id.
    Insecure,
    /// By a bucket policy for the worker's own account.
    Own,
    /// By a role with the team's external id, for https URLs.
    Https,
}

impl Way {
    /// The part of the teams file that holds the grant of `cloud`'s customer, as it should be.
    fn record(self, team: &str, cloud: &Cloud) -> String {
        let (role, bucket, them) = (cloud.role_arn(), &cloud.bucket, &cloud.them);
        match self {
            Self::Role => delegated(team, &role, EXTERNAL_ID, ""),
            Self::Https => {
                let plain = no_plain_host(team);
                delegated(team, &role, EXTERNAL_ID, &format!("recognize_https = true\n{plain}"))
            }
            Self::Account => format!("[{team}.aws]\naccount_id = \"{them}\"\nexternal_id = \"{EXTERNAL_ID}\"\n"),
            Self::Insecure => {
                format!(
                    "[{team}.aws]\nrole_arn = \"{role}\"\ninsecure = true\nbuckets = [\"{bucket}\"]\nregions = [\"us-east-1\"]\n"
                )
            }
            Self::Own => format!("[{team}.aws]\nbuckets = [\"{bucket}\"]\n"),
        }
    }

    /// The record of a team that granted nothing.
    fn no_record(self, team: &str) -> String {
        match self {
            Self::Https => no_plain_host(team),
            Self::Role | Self::Account | Self::Insecure | Self::Own => format!("[{team}]\n"),
        }
    }

    fn url(self, cloud: &Cloud, key: &str) -> String {
        match self {
            Self::Https => format!("https://{}.s3.us-east-1.amazonaws.com/{key}", cloud.bucket),
            Self::Role | Self::Account | Self::Insecure | Self::Own => format!("s3://{}/{key}", cloud.bucket),
        }
    }
}

/// A customer who set up what `way` needs. Its bucket lets our own worker read in any case, so that a fall-back would be felt.
async fn customer(way: Way, column: Column) -> Cloud {
    let lets_us_read = way != Way::Own || column != Column::Wrong;
    let objects = json!({"a.txt": "the content", "large": {"size": LARGE}});
    let cloud = Cloud::new(Plan { lets_us_read, objects, ..Plan::default() }).await;
    match (way, column) {
        // What the role asks for is what the team's record does not have.
        (Way::Insecure, Column::Wrong) => {}
        (Way::Insecure, _) => trusts(&cloud, trust(&cloud.us, None)).await,
        (Way::Role | Way::Account | Way::Https, Column::Wrong) => {
            trusts(&cloud, trust(&cloud.us, Some("another-id"))).await;
        }
        (Way::Role | Way::Account | Way::Https | Way::Own, _) => {}
    }
    cloud
}

async fn trusts(cloud: &Cloud, policy: serde_json::Value) {
    control("POST", "trust", &json!({"role": cloud.role_arn(), "trust": policy})).await;
}

async fn withdraw(way: Way, cloud: &Cloud) {
    match way {
        Way::Own => {
            cloud.customer().delete_bucket_policy().bucket(&cloud.bucket).send().await.unwrap();
        }
        Way::Role | Way::Account | Way::Insecure | Way::Https => {
            trusts(cloud, trust("000000000000", None)).await;
            cloud.end_sessions().await;
        }
    }
}

pub(super) async fn cell(way: Way, column: Column) -> Found {
    let cloud = customer(way, column).await;
    let office = Office::of(&cloud);
    let record = if column == Column::Missing { way.no_record("acme") } else { way.record("acme", &cloud) };
    office.teams("one", &record);
    let url = way.url(&cloud, "a.txt");
    let (mut first, mut others_role) = ("reads".to_owned(), None);
    let outcome = match column {
        Column::Right | Column::Missing | Column::Wrong => fetched(&office, "acme", &url).await,
        Column::Expired => expired(way, &cloud).await,
        Column::Withdrawn => {
            first = fetched(&office, "acme", &url).await;
            withdraw(way, &cloud).await;
            fetched(&office, "acme", &url).await
        }
        Column::OtherTeam => {
            first = fetched(&office, "acme", &url).await;
            let own = customer(way, Column::Right).await;
            // Our worker, which is the same for both.
            trusts(&own, trust(&cloud.us, if way == Way::Insecure { None } else { Some("id-of-bolt") })).await;
            own.lets_read(&cloud.us).await;
            let bolt = way.record("bolt", &own).replace(EXTERNAL_ID, "id-of-bolt");
            office.teams("two", &bolt);
            let good = office.fetch("two", "bolt", &[&way.url(&own, "a.txt")]).await.remove(0);
            let both = format!("[\"{}\", \"{}\"]", own.bucket, cloud.bucket);
            office.teams("two", &bolt.replace(&format!("[\"{}\"]", own.bucket), &both));
            let found = office.fetch("two", "bolt", &[&url]).await.remove(0);
            others_role = Some(own.role_arn());
            if good == "the content" { found } else { format!("its own: {good}") }
        }
    };
    Found {
        outcome: if first == "reads" { outcome } else { format!("first: {first}") },
        strangers: strangers(way, &cloud, others_role.as_deref()).await,
    }
}

async fn fetched(office: &Office, team: &str, url: &str) -> String {
    let found = office.fetch("one", team, &[url]).await.remove(0);
    if found == "the content" { "reads".to_owned() } else { found }
}

/// The session ends in the middle of a body: it goes on with a new one.
async fn expired(way: Way, cloud: &Cloud) -> String {
    let proxy = FaultProxy::before(bed::cloud_endpoint().strip_prefix("http://").unwrap()).await;
    let [id, secret] = cloud.our_keys();
    let mut office = Office::with(&proxy.endpoint, id, secret);
    office.set("LONGSHORE__RETRY__TRIES", "3");
    office.teams("one", &way.record("acme", cloud));
    proxy.hang_next_after(LARGE / 2).await;
    let url = way.url(cloud, "large");
    let urls = [url.as_str()];
    let reading = office.fetch("one", "acme", &urls);
    let ending = async {
        cloud.end_sessions().await;
        proxy.sever().await;
    };
    let found = ended_in_the_middle(reading, async || !cloud.asked().await.is_empty(), ending).await.remove(0);
    let sessions = cloud.assumed().await.len();
    match found == "x".repeat(LARGE) {
        true if sessions == 2 => "reads".to_owned(),
        true => format!("read with {sessions} sessions"),
        false if found.len() > 100 => format!("{} bytes", found.len()),
        false => found,
    }
}

/// Whoever asked for the customer's bucket, or for a role in our name, and was not granted that.
async fn strangers(way: Way, cloud: &Cloud, others_role: Option<&str>) -> Vec<String> {
    let granted = match way {
        Way::Own => format!("arn:aws:iam::{}:user/worker", cloud.us),
        Way::Role | Way::Account | Way::Insecure | Way::Https => {
            format!("arn:aws:sts::{}:assumed-role/Longshore-Integration/longshore-acme-", cloud.them)
        }
    };
    let customer = format!("arn:aws:iam::{}:", cloud.them);
    let at_bucket = journal(&cloud.bucket).await.into_iter().filter(|entry| entry["service"] == "s3");
    // A session that has ended is nobody's, and is let in nowhere.
    let asked = at_bucket.filter(|entry| entry["decision"] != "ExpiredToken" && entry["decision"] != "InvalidToken");
    let who = asked.map(|entry| entry["principal"].as_str().unwrap_or("nobody").to_owned());
    let mut strangers: Vec<String> =
        who.filter(|who| !who.starts_with(&granted) && !who.starts_with(&customer)).collect();
    let roles = journal(&cloud.us).await.into_iter().filter_map(|entry| entry["role"].as_str().map(str::to_owned));
    let is_granted =
        |role: &String| way != Way::Own && (*role == cloud.role_arn() || Some(role.as_str()) == others_role);
    strangers.extend(roles.filter(|role| !is_granted(role)));
    strangers
}
