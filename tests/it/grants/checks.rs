//! `team check` and the worker's own look: what is found of grants that are right, and of each way in which they are wrong.

use aws_credential_types::Credentials;
use serde_json::{Value, json};

use super::office::{Office, delegated};
use crate::bed;
use crate::ran::Ran;
use crate::s3source::cloud::{Cloud, EXTERNAL_ID, Plan, allow, client, control, read_and_list, trust};
use crate::s3source::second_judge::iam;
use crate::scenario::judge::Judge;

/// Team `acme`, which lists its bucket and its region.
fn listing(cloud: &Cloud, region: &str) -> String {
    let more = format!("buckets = [\"{}\"]\nregions = [\"{region}\"]\n", cloud.bucket);
    delegated("acme", &cloud.role_arn(), EXTERNAL_ID, &more)
}

async fn checked(office: &Office, more: &[&str]) -> Ran {
    let args = [&["--json", "team", "check", "acme"], more].concat();
    office.run("one", &args).await
}

/// The one finding of this name.
#[track_caller]
fn finding<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let found: Vec<&Value> = lines.iter().filter(|line| line["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name}: {lines:#?}");
    found[0]
}

/// Each finding is a success but these, of which each message says what to do.
#[track_caller]
fn check_failed(lines: &[Value], failed: &[(&str, &str)]) {
    for line in lines {
        let name = line["name"].as_str().unwrap();
        let is_expected = failed.iter().any(|(failed, _)| *failed == name);
        assert_eq!(line["success"], !is_expected, "{line}");
        assert_eq!(line["integration"], "aws");
        line["checked_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    for (name, says) in failed {
        let message = finding(lines, name)["message"].as_str().unwrap();
        assert!(message.contains(says), "{name}: {message:?} does not say {says:?}");
    }
}

#[tokio::test]
async fn a_good_integration_passes_and_what_was_found_is_kept() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    office.teams("one", &listing(&cloud, "us-east-1"));
    let url = format!("s3://{}/a.txt", cloud.bucket);
    let lines = checked(&office, &["--url", &url]).await.ends(0).json();
    check_failed(&lines, &[]);
    assert_eq!(finding(&lines, "bucket_readable")["subject"], cloud.bucket.as_str());
    assert_eq!(finding(&lines, "object_readable")["subject"], url.as_str());
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let tried: Vec<(Value, Value)> =
        cloud.assumed().await.iter().map(|entry| (entry["external_id"].clone(), entry["decision"].clone())).collect();
    assert_eq!(tried[0], (json!(EXTERNAL_ID), json!("allowed")));
    assert_eq!(tried[1], (Value::Null, json!("AccessDenied")));
    assert!(tried[2].0 != EXTERNAL_ID && tried[2].0.is_string() && tried[2].1 == "AccessDenied", "{tried:?}");
    let kept: Value =
        serde_json::from_str(&office.stored("acme/state/checks/aws.json")["acme/state/checks/aws.json"]).unwrap();
    assert_eq!(kept["findings"].as_array().unwrap().len(), 5);
    // A person gets a table.
    let table = office.run("one", &["team", "check", "acme"]).await.ends(0).out;
    assert!(table.starts_with("CLOUD") && table.contains("external_id_required  good"), "{table}");
    assert!(!table.contains(EXTERNAL_ID), "{table}");
}

#[tokio::test]
async fn a_role_that_refuses_us_is_said_to_and_nothing_else_is_claimed() {
    let cloud = Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await;
    let office = Office::of(&cloud);
    let record = listing(&cloud, "us-east-1");
    for wrong in
        [record.replace(EXTERNAL_ID, "another-id"), record.replace("role/Longshore-Integration", "role/Missing")]
    {
        office.teams("one", &wrong);
        let lines = checked(&office, &[]).await.ends(1).json();
        check_failed(
            &lines,
            &[
                ("role_can_be_assumed", "`longshore team onboard acme --cloud aws` prints it"),
                ("external_id_required", "not shown"),
                ("bucket_readable", "not looked at"),
            ],
        );
    }
    assert!(cloud.asked().await.is_empty(), "nobody asked for the bucket");
}

/// A trust policy with this condition on the external id.
fn trusting(cloud: &Cloud, condition: &Value) -> Value {
    let mut trust = trust(&cloud.us, None);
    trust["Statement"][0]["Condition"] = condition.clone();
    trust
}

#[tokio::test]
async fn a_role_that_lets_in_without_the_teams_id_is_told_and_not_used_until_it_is_put_right() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    let (record, url) = (listing(&cloud, "us-east-1"), format!("s3://{}/a.txt", cloud.bucket));
    let set = async |trust: Value| control("POST", "trust", &json!({"role": cloud.role_arn(), "trust": trust})).await;
    let any = json!({"StringLike": {"sts:ExternalId": "*"}});
    for (open, how) in [
        (trust(&cloud.us, None), "lets us in without an external id"),
        (trusting(&cloud, &any), "lets us in with a made-up external id"),
    ] {
        office.teams("one", &record);
        set(open).await;
        let lines = checked(&office, &[]).await.ends(1).json();
        check_failed(&lines, &[("external_id_required", "External ID configured insecurely")]);
        check_failed(&lines, &[("external_id_required", how)]);
        let before = cloud.asked().await.len();
        assert_eq!(office.fetch("one", "acme", &[&url]).await, ["integration_broken"]);
        assert_eq!(cloud.asked().await.len(), before, "the role was used");
        // A team that says it knows may use it; the check fails all the same.
        office.teams("one", &format!("{record}insecure = true\n"));
        checked(&office, &[]).await.ends(1);
        assert_eq!(office.fetch("one", "acme", &[&url]).await, ["the content"]);
        office.teams("one", &record);
        set(trust(&cloud.us, Some(EXTERNAL_ID))).await;
        checked(&office, &[]).await.ends(0);
        assert_eq!(office.fetch("one", "acme", &[&url]).await, ["the content"]);
    }
}

#[tokio::test]
async fn a_bucket_that_cannot_be_read_is_told_with_the_right_that_is_missing() {
    for (policies, code, says) in [
        ((|_| json!([])) as fn(&str) -> Value, 1, "grant s3:GetObject on arn:aws:s3:::"),
        (
            |bucket| json!([allow(&["s3:ListBucket"], &format!("arn:aws:s3:::{bucket}"))]),
            1,
            "its objects are not: grant s3:GetObject",
        ),
        // Neither can be told from the other by a key that is made up.
        (
            |bucket| json!([allow(&["s3:GetObject"], &format!("arn:aws:s3:::{bucket}/*"))]),
            1,
            "grant s3:ListBucket on arn:aws:s3:::",
        ),
        (read_and_list, 0, ""),
    ] {
        let cloud = Cloud::new(Plan { role_policies: policies, ..Plan::default() }).await;
        let office = Office::of(&cloud);
        office.teams("one", &listing(&cloud, "us-east-1"));
        let lines = checked(&office, &[]).await.ends(code).json();
        let failed = [("bucket_readable", says)];
        check_failed(&lines, if code == 0 { &[] } else { &failed });
    }
}

#[tokio::test]
async fn an_empty_bucket_can_be_shown_to_be_readable_and_a_missing_one_not() {
    let cloud = Cloud::new(Plan { objects: json!({}), ..Plan::default() }).await;
    let office = Office::of(&cloud);
    office.teams("one", &listing(&cloud, "us-east-1"));
    check_failed(&checked(&office, &[]).await.ends(0).json(), &[]);
    office.teams("one", &listing(&cloud, "us-east-1").replace(&cloud.bucket, &format!("{}-missing", cloud.bucket)));
    let lines = checked(&office, &[]).await.ends(1).json();
    check_failed(&lines, &[("bucket_readable", "there is no bucket")]);
}

#[tokio::test]
async fn a_bucket_in_another_region_is_told_with_its_region() {
    let cloud = Cloud::new(Plan { region: "eu-west-1", ..Plan::default() }).await;
    let office = Office::of(&cloud);
    office.teams("one", &listing(&cloud, "us-east-1"));
    let url = format!("s3://{}/a.txt", cloud.bucket);
    let lines = checked(&office, &["--url", &url]).await.ends(1).json();
    let says = "is in eu-west-1: add that to the team's regions";
    let failed =
        [("region_allowed", says), ("bucket_readable", "not looked at"), ("object_readable", "bucket_not_allowed")];
    check_failed(&lines, &failed);
    office.teams("one", &listing(&cloud, "eu-west-1"));
    check_failed(&checked(&office, &["--url", &url]).await.ends(0).json(), &[]);
}

#[tokio::test]
async fn another_teams_role_and_bucket_are_not_even_tried() {
    let cloud = Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await;
    let office = Office::of(&cloud);
    office.teams("two", &delegated("bolt", &cloud.role_arn(), EXTERNAL_ID, ""));
    assert_eq!(office.fetch("two", "bolt", &[&format!("s3://{}/a.txt", cloud.bucket)]).await, ["the content"]);
    let before = (cloud.asked().await.len(), cloud.assumed().await.len());
    office.teams("one", &listing(&cloud, "us-east-1"));
    let lines = checked(&office, &[]).await.ends(1).json();
    assert!(lines.iter().all(|line| line["name"] == "role_can_be_assumed" && line["success"] == false), "{lines:#?}");
    assert!(lines[0]["message"].as_str().unwrap().contains("belongs to another team here"), "{lines:#?}");
    office.teams("one", &format!("[acme.aws]\nbuckets = [\"{}\"]\n", cloud.bucket));
    let lines = checked(&office, &["--url", &format!("s3://{}/a.txt", cloud.bucket)]).await.ends(1).json();
    let failed = [("bucket_readable", "belongs to another team"), ("object_readable", "belongs to another team")];
    check_failed(&lines, &failed);
    assert_eq!((cloud.asked().await.len(), cloud.assumed().await.len()), before, "somebody asked");
}

#[tokio::test]
async fn who_is_not_there_or_has_granted_nothing_is_told_so() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    office.teams("one", "[acme]\n");
    assert!(office.run("one", &["team", "check", "nobody"]).await.ends(64).err.contains("there is no team nobody"));
    assert!(office.run("one", &["team", "check", "acme"]).await.ends(0).out.contains("nothing to check"));
    let ran = checked(&office, &["--cors-origin", "https://app.acme.com"]).await.ends(64);
    assert!(ran.err.contains("--cors-origin: no bucket to ask"), "{ran:?}");
    let lines = checked(&office, &["--url", "s3://some-bucket/k"]).await.ends(1).json();
    assert!(lines[0]["message"].as_str().unwrap().starts_with("integration_missing"), "{lines:?}");
}

/// A judge of the test's own, whose bucket has CORS rules.
#[tokio::test]
async fn an_origin_is_let_in_by_the_buckets_rules_or_is_told_which_rule_is_missing() {
    let judge = Judge::start().await;
    let (us, them, bucket) = ("111122223333", "222233334444", "acme-with-rules");
    let rule = json!({"AllowedOrigins": ["https://app.acme.com"], "AllowedMethods": ["GET", "HEAD"]});
    let role = json!({"name": "R", "trust": trust(us, Some(EXTERNAL_ID)), "policies": read_and_list(bucket)});
    let worker = json!({"name": "worker", "policies": [allow(&["sts:AssumeRole"], "*")]});
    let manifest = json!({"accounts": [
        {"id": us, "users": [worker]},
        {"id": them, "roles": [role], "buckets": [{"name": bucket, "cors": [rule], "objects": {"a.txt": "x"}}]},
    ]});
    let keys = judge.control("POST", "apply", &manifest).await[us]["users"]["worker"].clone();
    let [id, secret] = ["access_key_id", "secret_access_key"].map(|name| keys[name].as_str().unwrap());
    let office = Office::with(&judge.endpoint(), id, secret);
    let role_arn = format!("arn:aws:iam::{them}:role/R");
    office.teams("one", &delegated("acme", &role_arn, EXTERNAL_ID, &format!("buckets = [\"{bucket}\"]\n")));
    let lines = checked(&office, &["--cors-origin", "https://app.acme.com"]).await.ends(0).json();
    check_failed(&lines, &[]);
    assert_eq!(finding(&lines, "cors")["subject"], bucket);
    let lines = checked(&office, &["--cors-origin", "https://evil.example"]).await.ends(1).json();
    check_failed(&lines, &[("cors", "add a CORS rule with AllowedOrigins [\"https://evil.example\"]")]);
    // Where only an object is named, its bucket is asked.
    office.teams("one", &delegated("acme", &role_arn, EXTERNAL_ID, ""));
    let url = format!("s3://{bucket}/a.txt");
    let lines = checked(&office, &["--url", &url, "--cors-origin", "https://app.acme.com"]).await.ends(0).json();
    assert_eq!(finding(&lines, "cors")["success"], true);
}

/// The same before an emulator by other hands.
#[tokio::test]
async fn another_judge_shows_the_same() {
    bed::require("ministack");
    let account = || format!("{:012}", rand::random_range(100_000_000_000_u64..1_000_000_000_000));
    let (us, them, endpoint) = (account(), account(), bed::ministack_endpoint());
    let bucket = format!("b{them}");
    let customer = client(endpoint, Credentials::new(&them, "test", None, None, "test"));
    customer.create_bucket().bucket(&bucket).send().await.unwrap();
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"the content");
    customer.put_object().bucket(&bucket).key("a.txt").body(body).send().await.unwrap();
    for (name, policy) in
        [("Right", trust(&us, Some(EXTERNAL_ID))), ("Open", trust(&us, None)), ("Strange", trust("000000000000", None))]
    {
        let policy = policy.to_string();
        iam(&them, &[("Action", "CreateRole"), ("RoleName", name), ("AssumeRolePolicyDocument", &policy)]).await;
        for (number, policy) in read_and_list(&bucket).as_array().unwrap().iter().enumerate() {
            let (number, policy) = (format!("p{number}"), policy.to_string());
            let put =
                [("Action", "PutRolePolicy"), ("RoleName", name), ("PolicyName", &number), ("PolicyDocument", &policy)];
            iam(&them, &put).await;
        }
    }
    let office = Office::with(endpoint, &us, "test");
    let listed = format!("buckets = [\"{bucket}\"]\n");
    for (name, failed) in [
        ("Right", &[][..]),
        ("Open", &[("external_id_required", "External ID configured insecurely")]),
        ("Strange", &[("role_can_be_assumed", "refuses us"), ("external_id_required", ""), ("bucket_readable", "")]),
    ] {
        let role = format!("arn:aws:iam::{them}:role/{name}");
        office.teams("one", &delegated("acme", &role, EXTERNAL_ID, &listed));
        let ran = checked(&office, &[]).await.ends(i32::from(!failed.is_empty()));
        check_failed(&ran.json(), failed);
    }
}

/// A worker that goes on, and looks by itself.
#[tokio::test]
async fn a_worker_looks_by_itself_and_uses_no_role_that_it_finds_open() {
    let cloud = Cloud::new(Plan::default()).await;
    control("POST", "trust", &json!({"role": cloud.role_arn(), "trust": trust(&cloud.us, None)})).await;
    let office = Office::of(&cloud);
    office.teams("one", &delegated("acme", &cloud.role_arn(), EXTERNAL_ID, ""));
    office.configure("one", "teams.check_every = \"1h\"");
    let _worker = office.start("one", &["worker", "--roles", "ingest"]);
    let url = format!("s3://{}/a.txt", cloud.bucket);
    assert_eq!(office.ask("one", "acme", &[&url]).await, ["the content"], "nobody has looked yet");
    office.ask_until("one", "acme", &url, "integration_broken").await;
    let kept = office.stored("acme/state/checks/aws.json").into_values().next().unwrap();
    assert!(kept.contains("External ID configured insecurely"), "{kept}");
}
