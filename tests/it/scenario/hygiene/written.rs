//! All that a run wrote and all that commands print of it, each with its place.

use std::path::Path;

use serde_json::Value;

use super::clouds::{Clouds, WRONG_SECRET};
use super::peers::Peers;
use super::secrets::Written;
use super::tasks::IN_URLS;
use crate::directory::desk::{Mood, TOKEN};
use crate::scenario::world::World;

/// What the commands print, and what they say beside it.
pub(super) async fn printed(world: &World, clouds: &Clouds) -> Vec<Written> {
    let blob = clouds.of_azure.url(&format!("a.txt?sig={}", IN_URLS[0]));
    let mut printed = Vec::new();
    for command in [
        "config show",
        "config show --json",
        "config check",
        "events",
        "team claims --json",
        "webhooks list --json",
        "receipt hooked presigned",
        "receipt hooked refused",
        "receipt hooked echoed",
        "receipt scaled unwell",
        "receipt goog goog-0",
        "receipt azur azur-0",
        "team check delta --json",
        "team check hotel --json",
        "team check goog",
        "team check goog --json",
        "team check azur",
        &format!("team check azur --json --url {blob}"),
        &format!("team check nobody --json --url {blob}"),
    ] {
        let ran = world.ran(&command.split(' ').collect::<Vec<_>>()).await;
        assert!(!ran.out.is_empty() || ran.exit != 0, "{command} says nothing: {}", ran.err);
        printed.push((command.to_owned(), ran.out));
        printed.push((format!("{command}, standard error"), ran.err));
    }
    printed
}

/// The same for a deployment that cannot prove itself, and for one whose directory answers badly.
pub(super) async fn printed_in_trouble(world: &mut World, peers: &Peers) -> Vec<Written> {
    let mut printed = Vec::new();
    world.set("AZURE__CERTIFICATE_FILE", "");
    world.set("AZURE__CLIENT_SECRET", WRONG_SECRET);
    let checked = world.ran(&["team", "check", "azur", "--json"]).await;
    assert_ne!(checked.exit, 0, "{checked:?}");
    peers.desk.is(Mood::Says(401, TOKEN));
    let unknown = world.ran(&["team", "check", "azur"]).await;
    assert_ne!(unknown.exit, 0, "{unknown:?}");
    for ran in [checked, unknown] {
        printed.push(("a check in trouble".to_owned(), ran.out));
        printed.push(("a check in trouble, standard error".to_owned(), ran.err));
    }
    printed
}

/// The dead letters, but for their bodies, which are as they came.
pub(super) async fn dead_letters(world: &World) -> Vec<Written> {
    let listed = world.says(&["dead", "list", "--json"]).await;
    let bare = |line: &str| {
        let mut letter: Value = serde_json::from_str(line).unwrap();
        assert!(letter.as_object_mut().unwrap().remove("body").is_some(), "{letter}");
        ("dead list".to_owned(), letter.to_string())
    };
    listed.lines().map(bare).collect()
}

/// Every file of the deployment but its configuration; the queue's database, which holds messages as they came, apart.
pub(super) fn files(folder: &Path) -> (Vec<Written>, Vec<Written>) {
    let (mut folders, mut files, mut queue) = (vec![folder.to_owned()], Vec::new(), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let (name, is_queue) = (path.display().to_string(), path.to_string_lossy().contains("queue.db"));
            if path.is_dir() {
                folders.push(path);
            } else if !name.ends_with(".toml") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                if is_queue { &mut queue } else { &mut files }.push((name, text));
            }
        }
    }
    (files, queue)
}
