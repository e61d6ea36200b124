//! The whole program on the embedded queue: what a team's completion says, and in whose name the cloud was asked.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use longshore::domain::digest::Sha256;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::google::{Customer, Google, US};
use crate::bed;
use crate::fault_proxy::FaultProxy;

/// A worker's folder, with our own account's key in it.
pub(crate) struct Ground {
    folder: TempDir,
    endpoint: String,
    identity_url: String,
}

impl Ground {
    pub(crate) async fn new(google: &Google, endpoint: &str, teams: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        google.key_file(US, folder.path()).await;
        let config = "state_dir = \"state\"\nstore.url = \"file:store\"\nevents.url = \"local:\"\nadmin.listen = \"\"\n\
                      queue.max_attempts = 1\nretry.base = \"50ms\"\nretry.tries = 3\n";
        std::fs::write(folder.path().join("longshore.toml"), config).unwrap();
        let ground = Self { folder, endpoint: endpoint.to_owned(), identity_url: google.identity_url() };
        ground.teams(teams);
        ground
    }

    /// Writes the teams file anew.
    pub(crate) fn teams(&self, teams: &str) {
        std::fs::write(self.folder.path().join("teams.toml"), teams).unwrap();
    }

    /// Its teams come from a directory from now on.
    pub(crate) fn asks_a_directory(&self, team_url: &str, token: &str) {
        let path = self.folder.path().join("longshore.toml");
        let more = format!("teams.source = \"{team_url}\"\nteams.token = \"file:desk-token\"\n");
        std::fs::write(self.folder.path().join("desk-token"), token).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + &more).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_with(arguments, &[]).await
    }

    async fn run_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("LONGSHORE_CONFIG")
            .env("HOME", self.folder.path())
            .env("GOOGLE_APPLICATION_CREDENTIALS", self.folder.path().join("key.json"))
            .env("GCE_METADATA_HOST", "127.0.0.1:1")
            .env("SSL_CERT_FILE", bed::ca_pem_path())
            .env("LONGSHORE__GCP__IAM_ENDPOINT_URL", &self.identity_url)
            .env("LONGSHORE__SOURCES__GCS__ENDPOINT_URL", &self.endpoint)
            .env("LONGSHORE__TELEMETRY__LOG", "debug")
            .envs(more.iter().copied())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        std::fs::write(self.folder.path().join(format!("log-{}", uuid::Uuid::now_v7())), &err).unwrap();
        // A process that was killed has no code.
        (output.status.code().unwrap_or(-1), out, err)
    }

    /// Works off tasks of one attachment each, and returns what became of each team's.
    pub(crate) async fn work(&self, tasks: &[(&str, &str)]) -> BTreeMap<String, Value> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let task = |(team, url): &(&str, &str)| {
            let url = *url;
            json!({"task_id": format!("{team}-{id}"), "team": team, "attachments": [url]}).to_string() + "\n"
        };
        let lines: String = tasks.iter().map(task).collect();
        std::fs::write(self.folder.path().join("tasks.jsonl"), lines).unwrap();
        for arguments in [&["submit", "tasks.jsonl"][..], &["worker", "--until-empty"]] {
            let (exit, _, err) = self.run(arguments).await;
            assert_eq!(exit, 0, "{arguments:?}: {err}");
        }
        let mut outcomes = BTreeMap::new();
        for (team, _) in tasks {
            let receipt = self.receipt(team, &format!("{team}-{id}"));
            outcomes.insert((*team).to_owned(), receipt["attachments"][0].clone());
        }
        outcomes
    }

    fn receipt(&self, team: &str, task: &str) -> Value {
        let path = self.folder.path().join(format!("store/{team}/receipts/{task}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Everything that was written, but the key itself: none of it may hold a secret.
    pub(crate) fn check_nothing_leaked(&self) {
        let mut folders = vec![self.folder.path().to_owned()];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("key.json") {
                    let bytes = std::fs::read(&path).unwrap();
                    for secret in [&b"ya29."[..], b"PRIVATE KEY", b"Bearer "] {
                        let found = bytes.windows(secret.len()).any(|window| window == secret);
                        assert!(!found, "{} holds a secret", path.display());
                    }
                    files += 1;
                }
            }
        }
        assert!(files > 5, "nothing was looked at");
    }
}

pub(crate) fn code(outcome: &Value) -> &str {
    outcome["error"]["code"].as_str().unwrap_or_else(|| outcome["status"].as_str().unwrap())
}

fn url(customer: &Customer) -> String {
    format!("gs://{}/a.txt", customer.bucket)
}

#[tokio::test]
async fn each_team_reads_with_its_own_grant_and_no_other() {
    let google = Google::start().await;
    let [right, wrong, lax, plain] =
        [google.customer().await, google.customer().await, google.customer().await, google.customer().await];
    // Whatever is refused below, our own account could read: a fall-back would be felt.
    google.grant(&right, &[US], json!({"readers": [US, right.account]})).await;
    google.grant(&wrong, &["somebody@else"], json!({"readers": [US, wrong.account]})).await;
    google.grant(&plain, &[], json!({"readers": [US]})).await;
    let generation = right.put("a.txt", b"a harbour").await["generation"].clone();
    let open_list = lax.table("lax").lines().filter(|line| !line.starts_with("buckets")).collect::<Vec<_>>().join("\n");
    let teams = [
        right.table("right"),
        wrong.table("wrong"),
        open_list,
        format!("\n[plain.gcp]\nbuckets = [\"{}\"]\n[missing]\n", plain.bucket),
    ];
    let ground = Ground::new(&google, &format!("http://{}", google.gate()), &teams.concat()).await;
    let (url_right, url_wrong, url_plain) = (url(&right), url(&wrong), url(&plain));
    let found = ground
        .work(&[("right", &url_right), ("wrong", &url_wrong), ("plain", &url_plain), ("missing", &url_right)])
        .await;
    let stored = &found["right"];
    assert_eq!((code(stored), &stored["source"]["version"]), ("stored", &generation), "{stored}");
    assert_eq!(stored["object"]["sha256"], Sha256::of(b"a harbour").to_string());
    assert_eq!(code(&found["wrong"]), "integration_broken");
    assert_eq!(found["wrong"]["error"]["provider_code"], "PERMISSION_DENIED");
    assert_eq!((code(&found["plain"]), code(&found["missing"])), ("stored", "integration_missing"));
    assert_eq!(google.impersonations(&wrong).await, 1);
    // Only what was granted was used: once each, in any order.
    let mut readers = google.readers().await;
    readers.sort();
    let mut granted = vec![right.account.clone(), US.to_owned()];
    granted.sort();
    assert_eq!(readers, granted);

    // Another team's bucket: its claim stands before every grant.
    let found = ground.work(&[("lax", &url_right), ("right", &url_plain)]).await;
    assert_eq!((code(&found["lax"]), code(&found["right"])), ("bucket_not_allowed", "bucket_not_allowed"));
    assert_eq!((google.readers().await.len(), google.impersonations(&lax).await), (2, 0), "nobody was asked");

    // Withdrawn: by the account, and by the bucket.
    google.grant(&right, &[], json!({"readers": [US, right.account]})).await;
    google.grant(&plain, &[], json!({})).await;
    let found = ground.work(&[("right", &url_right), ("plain", &url_plain)]).await;
    assert_eq!((code(&found["right"]), code(&found["plain"])), ("integration_broken", "access_denied_or_missing"));
    ground.check_nothing_leaked();
}

#[tokio::test]
async fn what_one_team_has_claimed_is_no_other_teams_in_any_mode() {
    let google = Google::start().await;
    let [first, second, third] = [google.customer().await, google.customer().await, google.customer().await];
    google.grant(&first, &[US], json!({"readers": [US, first.account, second.account]})).await;
    let ground = Ground::new(&google, &format!("http://{}", google.gate()), &first.table("first")).await;
    let (url_first, url_second) = (url(&first), url(&second));
    assert_eq!(code(&ground.work(&[("first", &url_first)]).await["first"]), "stored");
    let (readers, impersonations) = (google.readers().await, google.impersonations(&first).await);

    // Other files know nothing of the first team; what it claimed is its own all the same.
    let namesake = Customer {
        account: first.account.replace("@acme.", "@thief."),
        uid: first.uid.clone(),
        bucket: third.bucket.clone(),
    };
    google.grant(&namesake, &[US], json!({"readers": ["allUsers"]})).await;
    let their_account = first.table("account").replace(&first.bucket, &second.bucket);
    let their_bucket = second.table("bucket").replace(&second.bucket, &first.bucket);
    let pattern = third.table("pattern").replace(&third.bucket, "gcs-*");
    let plain = format!("[plain.gcp]\nbuckets = [\"{}\"]\n", first.bucket);
    let url_third = url(&third);
    for (teams, tasks) in [
        (
            [their_account, namesake.table("uid"), their_bucket].concat(),
            &[
                ("account", &url_second, "integration_broken"),
                ("uid", &url_third, "integration_broken"),
                ("bucket", &url_first, "bucket_not_allowed"),
            ][..],
        ),
        (pattern, &[("pattern", &url_first, "bucket_not_allowed")][..]),
        (plain, &[("plain", &url_first, "bucket_not_allowed")][..]),
    ] {
        ground.teams(&teams);
        let found = ground.work(&tasks.iter().map(|(team, url, _)| (*team, url.as_str())).collect::<Vec<_>>()).await;
        for (team, _, expected) in tasks {
            assert_eq!(code(&found[*team]), *expected, "{team}");
        }
    }
    assert_eq!(google.readers().await, readers, "somebody asked for a bucket");
    assert_eq!(google.impersonations(&first).await, impersonations);
    assert_eq!((google.impersonations(&second).await, google.impersonations(&namesake).await), (0, 0));
}

#[tokio::test]
async fn a_redelivery_finds_the_copy_by_its_generation_and_asks_for_no_body() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let ground = Ground::new(&google, &format!("http://{}", google.gate()), &customer.table("acme")).await;
    let task = json!({"task_id": "t-1", "team": "acme", "attachments": [url(&customer)]});
    std::fs::write(ground.folder.path().join("task.json"), task.to_string()).unwrap();
    assert_eq!(ground.run(&["submit", "task.json"]).await.0, 0);
    let lease = ("LONGSHORE__QUEUE__LEASE", "2s");
    let killed = [lease, ("LONGSHORE_TEST_CRASH", "facts-written:kill:1")];
    assert_eq!(ground.run_with(&["worker", "--until-empty"], &killed).await.0, -1);
    assert_eq!(google.methods().await, ["GET"]);
    let (exit, _, err) = ground.run_with(&["worker", "--until-empty"], &[lease]).await;
    assert_eq!(exit, 0, "{err}");
    assert_eq!(google.methods().await, ["GET", "HEAD"]);
    let receipt = ground.receipt("acme", "t-1");
    assert_eq!(code(&receipt["attachments"][0]), "stored", "{receipt}");
}

#[tokio::test]
async fn an_account_without_the_teams_uid_is_a_mistake_of_the_teams_file() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let teams = customer.table("acme").replace(&format!("uid = \"{}\"", customer.uid), "uid = \"zz99zz99\"");
    let ground = Ground::new(&google, "http://127.0.0.1:1", &teams).await;
    let (exit, out, err) = ground.run(&["config", "check"]).await;
    assert_eq!(exit, 64, "{out}{err}");
    assert!(format!("{out}{err}").contains("gcp.uid must be a whole part"), "{out}{err}");
}

#[tokio::test]
async fn what_google_asks_patience_for_is_tried_again_and_what_is_damaged_is_never_stored() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let proxy = FaultProxy::before(&google.gate().to_string()).await;
    let ground = Ground::new(&google, &proxy.endpoint, &customer.table("acme")).await;
    google.fail(&customer.bucket, 2, 403, "rateLimitExceeded").await;
    proxy.damage(Some(1)).await;
    // Two refusals, of which the proxy damages the first; then the object, in the very bytes.
    let stored = &ground.work(&[("acme", &url(&customer))]).await["acme"];
    assert_eq!(code(stored), "stored", "{stored}");
    assert_eq!(stored["object"]["sha256"], Sha256::of(b"the content").to_string());
    assert_eq!(google.statuses().await, [403, 403, 200]);
    customer.put("b.txt", b"the other content").await;
    proxy.damage(None).await;
    let broken = &ground.work(&[("acme", &format!("gs://{}/b.txt", customer.bucket))]).await["acme"];
    assert_eq!(code(broken), "checksum_mismatch", "{broken}");
    assert_eq!(google.statuses().await.len(), 3 + 3, "each try in place");
}

#[tokio::test]
async fn a_long_download_outlives_its_tokens() {
    const BYTES: usize = 24 << 20;
    let google = Google::start().await;
    let customer = google.customer().await;
    // A token lasts a second, the first half of the body two.
    let account = json!({"token_creators": [US], "token_seconds": 1});
    google.apply(json!({"accounts": {&customer.account: account}})).await;
    let content: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    customer.put("large.bin", &content).await;
    let proxy = FaultProxy::before(&google.gate().to_string()).await;
    proxy.cut_next_after(BYTES / 2, BYTES / 4).await;
    let ground = Ground::new(&google, &proxy.endpoint, &customer.table("acme")).await;
    let found = ground.work(&[("acme", &format!("gs://{}/large.bin", customer.bucket))]).await;
    let stored = &found["acme"];
    assert_eq!((code(stored), &stored["source"]["bytes"]), ("stored", &json!(BYTES)), "{stored}");
    assert_eq!(stored["object"]["sha256"], Sha256::of(&content).to_string());
    let statuses = google.statuses().await;
    assert!(statuses.contains(&401) && statuses.ends_with(&[206]), "{statuses:?}");
    let others: Vec<_> = google.readers().await.into_iter().filter(|reader| *reader != customer.account).collect();
    assert!(others.is_empty(), "{others:?}");
    ground.check_nothing_leaked();
}
