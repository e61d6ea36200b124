//! Secrets stay where they belong: whatever a run wrote, none of the secrets and signatures that it used stands in it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::customers::{Customers, Door};
use super::expect::{End, Sent, Wanted};
use super::judge::Judge;
use super::tasks::Draw;
use super::world::{Setup, World};

/// What a customer's URL carries, and nothing that is written may.
const IN_URLS: [&str; 4] = ["Signature0fAPresignedUrl", "Passw0rdOfAUrl", "TokenOfACallback", "QueryOfARefusedUrl"];
/// The secrets that sign webhooks, in the form in which a team's record has them.
const OF_HOOKS: [&str; 3] = [
    "whsec_c2VjcmV0IG9mIGh5Z2llbmUsIDI0IGJ5dGVz",
    "whsec_cHJldmlvdXMgb2YgaHlnaWVuZSwgMjQgYg==",
    "AuthKeyOfTheScaleFormat",
];

/// The values that stand between these two marks.
fn between<'a>(text: &'a str, begin: &str, ends: &[char]) -> BTreeSet<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(ends).next()).filter(|value| value.len() >= 12).collect()
}

/// A task whose end nobody looks at here.
fn task(number: usize, team: &str, urls: &[String], callback: &str) -> Sent {
    let task = format!("hygiene-{number}");
    let mut body = json!({"task_id": task, "team": team, "attachments": urls});
    if !callback.is_empty() {
        body["callback_url"] = json!(callback);
    }
    let wanted = Wanted { team: team.to_owned(), task: task.clone(), parts: Vec::new() };
    Sent::new(task, body.to_string(), End::Receipt(wanted))
}

fn tasks(world: &World, in_buckets: &[Sent]) -> Vec<Sent> {
    let [signature, password, token, query] = IN_URLS;
    let at = |target: &str| world.origin.url(target);
    let with_password = at("/blob/u?size=10").replace("http://", &format!("http://user:{password}@"));
    let hook = at(&format!("/sink/hook?token={token}"));
    let mut tasks = vec![
        task(1, "hooked", &[at(&format!("/blob/a?size=100&X-Amz-Signature={signature}"))], &hook),
        task(2, "hooked", &[with_password, at(&format!("/blob/b?status=404&sig={query}"))], &hook),
        task(3, "hooked", &[format!("ftp://user:{password}@host/x?token={query}")], ""),
        task(4, "hooked", &[at(&format!("/redirect?to=http%3A%2F%2F10.0.0.1%2F%3Ftoken%3D{query}"))], &hook),
        task(5, "hooked", &[at("/blob/c?size=10")], &format!("mailto:{token}@example.com")),
        task(6, "scaled", &[at(&format!("/blob/d?status=503&token={query}"))], ""),
        // Nobody is connected to here.
        task(7, "hooked", &[format!("https://user:{password}@localhost:1/?token={query}")], &hook),
    ];
    tasks.extend(in_buckets.iter().cloned());
    tasks
}

/// What the program has written to anywhere but its queue, which holds messages as they came.
fn written(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            written(&path, found);
        } else if !name.starts_with("queue.db") && !name.ends_with(".toml") {
            found.push((
                path.display().to_string(),
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
            ));
        }
    }
}

async fn printed(world: &World) -> Vec<(String, String)> {
    let mut printed = Vec::new();
    for command in [
        "config show",
        "config show --json",
        "config check",
        "events",
        "team claims --json",
        "webhooks list --json",
        "receipt hooked hygiene-1",
        "receipt hooked hygiene-2",
        "receipt scaled hygiene-6",
    ] {
        let words: Vec<_> = command.split(' ').collect();
        printed.push((command.to_owned(), world.says(&words).await));
    }
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_run_writes_holds_a_secret_or_a_signature() {
    let judge = Judge::start().await;
    let mut world = World::new(Setup::LocalFile).await;
    world.let_in(Customers::before(&judge, &[("delta", Door::Role), ("golf", Door::Policy)]).await);
    let [secret, previous, auth_key] = OF_HOOKS;
    let hook = world.origin.url("/sink/own");
    world.add_teams(&format!(
        "[hooked.callback]\nurl = \"{hook}\"\nsecret = \"{secret}\"\nprevious_secret = \"{previous}\"\n\
         [scaled.callback]\nurl = \"{hook}\"\nformat = \"scale\"\nauth_key = \"{auth_key}\"\n"
    ));
    world.set("WEBHOOKS__ALLOW_NETWORKS", "['127.0.0.0/8']");
    world.set("EVENTS__URL", "local:");
    world.set("TELEMETRY__LOG", "trace");
    world.set("QUEUE__MAX_ATTEMPTS", "2");
    world.set("RETRY__TRIES", "2");
    world.hurry();
    let customers = world.customers.as_ref().unwrap();
    customers.sts.keep_words();
    customers.s3.keep_words();
    let mut draw = Draw::of(3, &world);
    let in_buckets = [draw.task_in_bucket("delta", 3, 2_000), draw.task_in_bucket("golf", 2, 2_000)];
    world.put(&draw.objects()).await;
    world.send(&tasks(&world, &in_buckets)).await;
    world.worker_of_all_roles_until_empty().ends_with(0, Duration::from_secs(100)).await;

    let mut found = printed(&world).await;
    written(world.folder.path(), &mut found);
    let customers = world.customers.as_ref().unwrap();
    let (sts, s3) = (customers.sts.words(), customers.s3.words());
    let mut secrets: BTreeSet<&str> = IN_URLS.iter().chain(&OF_HOOKS).copied().collect();
    for (text, begin) in [
        (&sts, "<SecretAccessKey>"),
        (&sts, "<SessionToken>"),
        (&sts, "Signature="),
        (&s3, "Signature="),
        (&s3, "x-amz-security-token: "),
    ] {
        let used = between(text, begin, &['<', '\r', '\n', ',', ' ']);
        assert!(!used.is_empty(), "{begin} never passed: the test sees nothing");
        secrets.extend(used);
    }
    // What a team signed with and what was asked of its endpoint did go out.
    assert!(!world.origin.log("/sink").await.is_empty(), "no webhook was sent");
    assert!(
        found.iter().any(|(name, text)| name.contains("worker-0.log") && text.contains("DEBUG")),
        "nothing was traced"
    );
    assert!(found.iter().any(|(name, _)| name.contains("/receipts/")), "no receipt was read");
    for secret in &secrets {
        for (place, text) in &found {
            assert!(!text.contains(secret), "{place} holds {secret}: …{}…", around(text, secret));
        }
    }
    eprintln!("── {} secrets and signatures, none of them in {} places", secrets.len(), found.len());
}

fn around<'a>(text: &'a str, secret: &str) -> &'a str {
    let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
    let end = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= 400).last().unwrap_or(0);
    &line[..end]
}
