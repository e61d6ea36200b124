//! `team onboard`: what it prints can be set up as it stands, and then works.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::office::{Office, delegated};
use crate::s3source::cloud::{Cloud, Plan, control};

async fn policies(office: &Office, team: &str) -> Value {
    let ran = office.run("one", &["team", "onboard", team, "--cloud", "aws", "--format", "policy"]).await.ends(0);
    serde_json::from_str(&ran.out).unwrap()
}

fn id_in(policies: &Value) -> String {
    policies["trust_policy"]["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_printed_policies_make_a_role_that_passes_every_check() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    let account = format!("{:012}", rand::random_range(100_000_000_000_u64..1_000_000_000_000));
    let bucket = format!("b{account}");
    office.teams("one", &format!("[acme.aws]\nbuckets = [\"{bucket}\"]\n"));
    let printed = policies(&office, "acme").await;
    let principal = &printed["trust_policy"]["Statement"][0]["Principal"]["AWS"];
    assert_eq!(*principal, format!("arn:aws:iam::{}:user/worker", cloud.us));
    let role = json!({
        "name": "Longshore-Integration",
        "trust": printed["trust_policy"],
        "policies": [printed["permissions_policy"]],
    });
    let customer =
        json!({"id": account, "roles": [role], "buckets": [{"name": bucket, "objects": {"a.txt": "the content"}}]});
    control("POST", "apply", &json!({"accounts": [customer]})).await;
    let arn = format!("arn:aws:iam::{account}:role/Longshore-Integration");
    office.teams("one", &delegated("acme", &arn, &id_in(&printed), &format!("buckets = [\"{bucket}\"]\n")));
    office.run("one", &["team", "check", "acme"]).await.ends(0);
    assert_eq!(office.fetch("one", "acme", &[&format!("s3://{bucket}/a.txt")]).await, ["the content"]);
}

#[tokio::test]
async fn each_team_has_one_external_id_which_is_claimed_for_it() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    // A team need not be known before it is invited.
    office.teams("one", "[acme]\n");
    let [acme, again, bolt] =
        [policies(&office, "acme").await, policies(&office, "acme").await, policies(&office, "bolt").await];
    assert_eq!(acme, again);
    assert_ne!(id_in(&acme), id_in(&bolt));
    assert_eq!(id_in(&acme).len(), 36, "a random UUID");
    let claims = office.run("one", &["--json", "team", "claims", "acme"]).await.ends(0).json();
    let id = json!(id_in(&acme));
    assert!(claims.iter().any(|claim| claim["kind"] == "external_id" && claim["name"] == id), "{claims:?}");
    // Another team that writes the same id down is refused, and nobody is asked.
    office.teams("two", &delegated("bolt", &cloud.role_arn(), &id_in(&acme), ""));
    let found = office.fetch("two", "bolt", &[&format!("s3://{}/a.txt", cloud.bucket)]).await;
    assert_eq!(found, ["integration_broken"]);
    assert!(cloud.assumed().await.is_empty());
}

#[tokio::test]
async fn every_format_is_whole_and_holds_the_same_id() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    office.teams("one", "[acme.aws]\nbuckets = [\"acme-raw\"]\n");
    let id = id_in(&policies(&office, "acme").await);
    let print = async |format: &str| {
        let ran = office.run("one", &["team", "onboard", "acme", "--cloud", "aws", "--format", format]).await.ends(0);
        assert!(ran.out.contains(&id) && ran.out.contains("acme-raw"), "{ran:?}");
        ran.out
    };
    let template: Value = serde_json::from_str(&print("cloudformation").await).unwrap();
    assert_eq!(template["Resources"]["LongshoreRole"]["Type"], "AWS::IAM::Role");
    assert!(print("text").await.contains("Longshore-Integration"));
    let module = print("terraform").await;
    assert!(module.contains("resource \"aws_iam_role\" \"longshore\""));
    let ran = office.run("one", &["team", "onboard", "acme", "--cloud", "aws", "--json"]).await.ends(0);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["external_id"], &told["team"]), (&Value::from(id.as_str()), &Value::from("acme")));
    assert_eq!(told["text"].as_str().unwrap().trim(), print("text").await.trim());
    check_is_terraform(&module);
}

/// Where Terraform is at hand, it reads the module too. Elsewhere the unit tests of its shape must do.
fn check_is_terraform(module: &str) {
    let spawned = Command::new("terraform")
        .args(["fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else { return };
    child.stdin.take().unwrap().write_all(module.as_bytes()).unwrap();
    let read = child.wait_with_output().unwrap();
    assert!(read.status.success(), "{}\n{module}", String::from_utf8_lossy(&read.stderr));
}

#[tokio::test]
async fn the_other_clouds_get_their_commands_or_hear_what_is_missing() {
    let cloud = Cloud::new(Plan::default()).await;
    let mut office = Office::of(&cloud);
    office.teams("one", "[acme]\n");
    let onboard = ["team", "onboard", "acme", "--cloud"];
    let ran = office.run("one", &[&onboard[..], &["azure"]].concat()).await.ends(64);
    assert!(ran.err.contains("azure.client_id"), "{ran:?}");
    office.configure("one", "azure.client_id = \"our-app\"\nazure.client_secret = \"hush\"");
    let text = office.run("one", &[&onboard[..], &["azure"]].concat()).await.ends(0).out;
    assert!(
        text.contains("/organizations/v2.0/adminconsent?client_id=our-app&") && text.contains("state=acme."),
        "{text}"
    );
    assert!(text.contains("Storage Blob Data Reader") && !text.contains("hush"), "{text}");
    assert_eq!(text, office.run("one", &[&onboard[..], &["azure"]].concat()).await.ends(0).out, "one state for a team");

    let ran = office.run("one", &["team", "onboard", "bolt", "--cloud", "gcp"]).await.ends(64);
    assert!(ran.err.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{ran:?}");
    let claims = office.run("one", &["team", "claims", "bolt"]).await.ends(0).out;
    assert!(!claims.contains("gcp"), "a command that failed has claimed something: {claims}");
    office.file("key.json", "{\"type\": \"service_account\", \"client_email\": \"us@ours.iam.gserviceaccount.com\"}");
    office.set("GOOGLE_APPLICATION_CREDENTIALS", "key.json");
    let text = office.run("one", &[&onboard[..], &["gcp"]].concat()).await.ends(0).out;
    assert!(text.contains("serviceAccount:us@ours.iam.gserviceaccount.com"), "{text}");
    for (json, field) in [(["gcp", "--json"], "uid"), (["azure", "--json"], "state")] {
        let ran = office.run("one", &[&onboard[..], &json].concat()).await.ends(0);
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(told[field].is_string() && told["text"].as_str().unwrap().contains(told[field].as_str().unwrap()));
    }
    let ran = office.run("one", &[&onboard[..], &["gcp", "--format", "terraform"]].concat()).await.ends(2);
    assert!(ran.err.contains("--format"), "{ran:?}");
}
