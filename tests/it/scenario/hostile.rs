//! Hundreds of URLs that mean harm, given to the real program: directly, by redirects, straight and through a proxy.
//!
//! What counts is what others saw: the listeners, of which any address of this machine leads to one, and the proxy's log, in
//! which every attempt to connect to anything would stand.

use std::time::Duration;

use serde_json::{Value, json};

use super::proxy::{Kind, Proxy};
use super::world::{Setup, World};
use crate::fetch::hostile_urls::{is_relative, literal_urls};
use crate::fetch::server::{Server, answer, redirect};

const TASK: &str = "hostile";

/// What the program may answer to a URL that means harm, or to a redirect to one.
const REFUSALS: [&str; 3] = ["blocked_address", "bad_url", "http_status"];

/// Listeners for every address of this machine, on one port.
struct Trap {
    port: u16,
    servers: Vec<Server>,
}

impl Trap {
    async fn set() -> Self {
        let everywhere = Server::start_on("0.0.0.0:0", |_| answer(200, "", b"reached")).await;
        let port = everywhere.address.port();
        let mut servers = vec![everywhere];
        if tokio::net::TcpListener::bind(("::1", port)).await.is_ok() {
            servers.push(Server::start_on(&format!("[::1]:{port}"), |_| answer(200, "", b"reached")).await);
        }
        Self { port, servers }
    }

    fn reached(&self) -> usize {
        self.servers.iter().map(Server::connections).sum()
    }
}

/// Sends all URLs, and redirects to them, as one task, and returns the code of each attachment beside its URL.
async fn codes(world: &World, trap: &Trap) -> Vec<(String, String)> {
    let hostile = literal_urls(trap.port);
    assert!(hostile.len() >= 300, "{}", hostile.len());
    let targets = hostile.clone();
    // The only address that may be reached; it sends everybody astray.
    let astray = Server::start_on("127.0.0.2:0", move |asked| match asked.target[1..].parse::<usize>() {
        Ok(index) => redirect(302, &targets[index].replace(['\t', '\n'], "")),
        Err(_) => answer(404, "", b""),
    })
    .await;
    let by_redirect = (0..hostile.len()).filter(|index| !is_relative(&hostile[*index]));
    let by_redirect = by_redirect.map(|index| astray.url(&format!("/{index}")));
    let urls: Vec<String> = hostile.iter().cloned().chain(by_redirect).collect();
    let task = json!({"task_id": TASK, "team": "acme", "attachments": urls});
    let file = world.folder.path().join("task.json");
    std::fs::write(&file, task.to_string()).unwrap();
    world.says(&["submit", file.to_str().unwrap()]).await;
    world.run_until_empty(Duration::from_secs(100)).await;
    let receipt: Value = serde_json::from_str(&world.says(&["receipt", "acme", TASK]).await).unwrap();
    let attachments = receipt["attachments"].as_array().unwrap();
    assert_eq!(attachments.len(), urls.len());
    let code = |one: &Value| one["error"]["code"].as_str().unwrap_or("stored").to_owned();
    assert!(!astray.seen().is_empty());
    urls.into_iter().zip(attachments.iter().map(code)).collect()
}

fn check(codes: &[(String, String)]) {
    let bad: Vec<_> = codes.iter().filter(|(_, code)| !REFUSALS.contains(&&**code)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let blocked = codes.iter().filter(|(_, code)| code == "blocked_address").count();
    assert!(blocked >= 600, "{blocked} of {}", codes.len());
}

async fn guarded() -> World {
    let mut world = World::new(Setup::LocalFile).await;
    world.set("SOURCES__HTTP__ALLOW_NETWORKS", "[\"127.0.0.2/32\"]");
    world.set("RETRY__TRIES", "1");
    world.set("QUEUE__MAX_ATTEMPTS", "1");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_url_reaches_a_listener_of_this_machine() {
    let (world, trap) = (guarded().await, Trap::set().await);
    check(&codes(&world, &trap).await);
    assert_eq!(trap.reached(), 0);
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_url_is_attempted_as_the_proxy_sees_it() {
    let (proxy, trap) = (Proxy::start(Kind::Http).await, Trap::set().await);
    let mut world = guarded().await;
    world.set("SOURCES__HTTP__EGRESS_PROXY", &proxy.url());
    check(&codes(&world, &trap).await);
    let asked = proxy.asked_for();
    assert!(!asked.is_empty() && asked.iter().all(|target| target.starts_with("127.0.0.2:")), "{asked:?}");
    assert_eq!(trap.reached(), 0);
    world.clear().await;
}

/// The trap catches: with the door open the same program reaches it by many of these URLs.
#[tokio::test(flavor = "multi_thread")]
async fn with_an_open_door_the_listeners_are_reached() {
    let (world, trap) = (World::new(Setup::LocalFile).await, Trap::set().await);
    let port = format!(":{}", trap.port);
    let here =
        |url: &String| ["http://127.", "http://0x7f", "http://[::ffff:127"].iter().any(|start| url.starts_with(start));
    let urls = literal_urls(trap.port).into_iter().filter(|url| here(url) && url.contains(&port));
    let urls: Vec<String> = urls.collect();
    let task = json!({"task_id": TASK, "team": "acme", "attachments": urls});
    let file = world.folder.path().join("task.json");
    std::fs::write(&file, task.to_string()).unwrap();
    world.says(&["submit", file.to_str().unwrap()]).await;
    let mut worker = world.worker();
    let began = tokio::time::Instant::now();
    while trap.reached() < 15 {
        assert!(worker.is_running() && began.elapsed() < Duration::from_secs(30), "{} reached", trap.reached());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.kill();
    world.clear().await;
}
