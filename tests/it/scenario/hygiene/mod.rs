//! Secrets stay where they belong: whatever a run wrote, none of the secrets, tokens and signatures that it used stands in it.
//!
//! One deployment with everything that has a secret: roles on AWS, every way of proving oneself on Google's cloud and on Azure, a
//! directory of teams over https, an egress proxy, signed URLs, webhooks. What was configured is known; what was issued on the
//! way is told by those who issued it.

mod clouds;
mod peers;
mod secrets;
mod tasks;
mod written;

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use self::clouds::{CLIENT_SECRET, FEDERATED_TOKEN, LOGIN_SECRET, Proofs, REFRESH_TOKEN, SUBJECT_TOKEN, WRONG_SECRET};
use self::peers::{OF_DIRECTORY, OF_HOOKS, OUR_KEY, Peers};
use self::secrets::Secrets;
use self::tasks::{IN_URLS, cloud_tasks, plain_tasks};
use self::written::{dead_letters, files, printed, printed_in_trouble};
use super::customers::Object;
use super::proxy::{PASSWORD, USER};
use super::world::World;
use crate::directory::desk::TOKEN;

const WITHIN: Duration = Duration::from_secs(100);

/// What was configured, and what was issued and signed in this run.
async fn ours(world: &World, peers: &Peers) -> Secrets {
    let mut secrets = Secrets::default();
    for (what, values) in [
        ("a webhook's secret", &OF_HOOKS[..]),
        ("the worker's key", &OUR_KEY[1..]),
        ("a secret of Azure's", &[CLIENT_SECRET, WRONG_SECRET, FEDERATED_TOKEN]),
        ("a secret of Google's", &[SUBJECT_TOKEN, REFRESH_TOKEN, LOGIN_SECRET]),
        ("the directory's key", &[OF_DIRECTORY, TOKEN]),
        ("the proxy's credentials", &[USER, PASSWORD, &STANDARD.encode(format!("{USER}:{PASSWORD}"))]),
    ] {
        secrets.add_all(what, values.iter().copied());
    }
    let [issued, shown] = peers.clouds.credentials().await;
    for secret in [CLIENT_SECRET, FEDERATED_TOKEN, SUBJECT_TOKEN, REFRESH_TOKEN, LOGIN_SECRET, WRONG_SECRET] {
        assert!(shown.iter().any(|shown| shown == secret), "{secret} was not used");
    }
    for marks in ["ya29.", "eyJ"] {
        assert!(issued.iter().filter(|token| token.starts_with(marks)).count() >= 3, "{marks}: {}", issued.len());
    }
    secrets.add_all("an issued token", issued.iter().map(String::as_str));
    secrets.add_all("a proof", shown.iter().map(String::as_str));
    secrets.add_all("a private key", peers.clouds.private_keys().iter().map(String::as_str));
    let customers = world.customers.as_ref().unwrap();
    let (sts, s3) = (customers.sts.words(), customers.s3.words());
    for (text, begin) in [
        (&sts, "<SecretAccessKey>"),
        (&sts, "<SessionToken>"),
        (&sts, "Signature="),
        (&s3, "Signature="),
        (&s3, "x-amz-security-token: "),
    ] {
        secrets.add_all(begin, between(text, begin, &['<', '\r', '\n', ',', ' ']));
    }
    secrets
}

/// The values that stand between these two marks.
fn between<'a>(text: &'a str, begin: &str, ends: &[char]) -> BTreeSet<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(ends).next()).filter(|value| value.len() >= 12).collect()
}

/// What customers' URLs carried: it stands in messages as they came, and nowhere else.
fn carried(signed: &[String]) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.add_all("a URL's secret", IN_URLS);
    for url in signed {
        let url = url::Url::parse(url).unwrap();
        let signature = url.query_pairs().find(|(name, _)| matches!(&**name, "sig" | "X-Amz-Signature"));
        secrets.add("a URL's signature", &signature.expect("the URL is signed").1);
    }
    secrets
}

/// What became of a task's attachments: `stored`, or codes.
async fn outcomes(world: &World, team: &str, task: &str) -> Vec<String> {
    let receipt: Value = serde_json::from_str(&world.says(&["receipt", team, task, "--json"]).await).unwrap();
    let attachments = receipt["attachments"].as_array().unwrap().iter();
    let outcome = |part: &Value| part["error"]["code"].as_str().or(part["status"].as_str()).unwrap().to_owned();
    attachments.map(outcome).collect()
}

/// Each peer was used: what was not used cannot leak.
async fn check_all_were_used(world: &World, peers: &Peers, rounds: usize) {
    for round in 0..rounds {
        for (team, expected) in [
            ("goog", &["stored", "not_found"][..]),
            ("azur", &["stored", "not_found"]),
            ("delta", &["stored"]),
            ("golf", &["stored"]),
            ("hotel", &["integration_broken"]),
        ] {
            let found = outcomes(world, team, &format!("{team}-{round}")).await;
            assert_eq!(found, expected, "{team} in round {round}");
        }
    }
    assert_eq!(outcomes(world, "hooked", "signed").await, ["stored", "stored"]);
    let hooks = world.origin.log("/sink").await;
    assert!(hooks.iter().any(|hook| hook.headers.contains_key("webhook-signature")), "no webhook was signed");
    assert!(hooks.iter().any(|hook| hook.headers.contains_key("scale-callback-auth")), "no auth key was sent");
    assert!(peers.echo.seen().len() >= 2, "nothing was echoed");
    assert!(peers.proxy.asked_for().len() >= 5, "the proxy was passed by");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_run_writes_holds_a_secret_a_token_or_a_signature() {
    let peers = Peers::start().await;
    let mut world = peers.world().await;
    let customers = world.customers.as_ref().unwrap();
    customers.sts.keep_words();
    customers.s3.keep_words();
    let objects = ["delta", "golf", "hotel"].map(|team| Object { team, key: "a.txt".to_owned(), size: 2_000 });
    customers.put(&objects).await;
    let signed = [customers.of("delta").unwrap().signed_url("a.txt").await, peers.clouds.of_azure.signed_url("a.txt")];
    world.send(&plain_tasks(&world, &peers, &signed)).await;
    let proofs = peers.clouds.proofs().await;
    let rounds = proofs.len();
    for (round, Proofs { azure: (key, value), google }) in proofs.into_iter().enumerate() {
        for key in ["CLIENT_SECRET", "FEDERATED_TOKEN_FILE", "CERTIFICATE_FILE"] {
            world.set(&format!("AZURE__{key}"), "");
        }
        world.set(&format!("AZURE__{key}"), &value);
        world.set_variable("GOOGLE_APPLICATION_CREDENTIALS", &google.display().to_string());
        world.set("TELEMETRY__LOG_FORMAT", if round == 1 { "json" } else { "text" });
        world.send(&cloud_tasks(&world, &peers.clouds, round)).await;
        world.worker_of_all_roles_until_empty().ends_with(0, WITHIN).await;
    }
    check_all_were_used(&world, &peers, rounds).await;

    let mut written = printed(&world, &peers.clouds).await;
    written.extend(dead_letters(&world).await);
    assert!(written.iter().filter(|(place, _)| place == "dead list").count() >= 4, "no dead letters were listed");
    written.extend(printed_in_trouble(&mut world, &peers).await);
    let (files_written, queue) = files(world.folder.path());
    written.extend(files_written);
    for part in
        ["worker-0.log", "worker-2.log", "/receipts/", "/facts/", "/_claims/", "/state/checks/", "/state/answers/"]
    {
        assert!(written.iter().any(|(place, _)| place.contains(part)), "nothing was looked at in {part}");
    }
    assert!(written.iter().any(|(place, text)| place.contains("worker-0.log") && text.contains("DEBUG")));

    let (ours, carried) = (ours(&world, &peers).await, carried(&signed));
    let all = ours.and(&carried);
    let leaks = [all.found_in(&written), ours.found_in(&queue)].concat();
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    check_it_would_be_found(&world, &all);
    eprintln!("── {} spellings of secrets, none of them in {} places", all.count(), written.len() + queue.len());
    world.clear().await;
}

/// Whatever is planted where a run writes is found.
fn check_it_would_be_found(world: &World, secrets: &Secrets) {
    secrets.check_each_is_found();
    for (place, text) in [
        ("worker-0.log", format!("DEBUG asks with Bearer {SUBJECT_TOKEN}\n")),
        ("store/hooked/receipts/presigned.json", format!("{{\"url\":\"https://h/?sig={}\"}}", IN_URLS[0])),
        ("store/azur/state/checks/planted.json", format!("{{\"detail\":\"{CLIENT_SECRET}\"}}")),
    ] {
        let path = world.folder.path().join(place);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, before + &text).unwrap();
        let found = secrets.found_in(&files(world.folder.path()).0);
        assert!(found.iter().any(|found| found.contains(place)), "what was planted in {place} is not found: {found:?}");
    }
}
