//! Plain URLs: anybody's, and asked for without any credential, whoever the team is.

use super::{Column, Found};
use crate::fetch::server::{Server, answer};
use crate::grants::office::Office;
use crate::s3source::cloud::{Cloud, Plan};

pub(super) async fn cell(column: Column) -> Found {
    let origin = Server::saying(answer(200, "", b"the content")).await;
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    // Every kind of grant is there; none of them is for this host.
    let (role, bucket) = (cloud.role_arn(), &cloud.bucket);
    office.teams(
        "one",
        &format!(
            "[acme.aws]\nrole_arn = \"{role}\"\nexternal_id = \"6f1d0c1e-acme\"\nrecognize_https = true\nbuckets = [\"{bucket}\"]\n\
             [bolt]\n"
        ),
    );
    office.configure("one", "sources.http.allow_plain = true\nsources.http.allow_networks = [\"127.0.0.0/8\"]");
    let team = if column == Column::OtherTeam { "bolt" } else { "acme" };
    let found = office.fetch("one", team, &[&origin.url("/a.txt")]).await.remove(0);
    let outcome = if found == "the content" { "reads".to_owned() } else { found };
    let credentials = |name: &&String| name.contains("auth") || name.contains("cookie") || name.starts_with("x-amz");
    let seen = origin.seen();
    let strangers = seen.iter().flat_map(|asked| asked.fields.keys().filter(credentials));
    Found { outcome, strangers: strangers.map(|name| format!("a request with `{name}`")).collect() }
}
