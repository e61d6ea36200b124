//! The real program with a directory: worker, import and the commands about teams.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::desk::{Desk, Mood, TOKEN};
use crate::scenario::tasks::Draw;
use crate::scenario::world::{Setup, World};

async fn world(desk: &Desk) -> World {
    let mut world = World::new(Setup::LocalFile).await;
    world.set("TEAMS__SOURCE", &desk.team_url());
    world.set("TEAMS__TOKEN", TOKEN);
    world.set("QUEUE__MAX_ATTEMPTS", "1");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_its_directory_and_uses_nothing_up() {
    let desk = Desk::open().await;
    for team in ["acme", "beta"] {
        desk.put(team, "{}");
    }
    desk.is(Mood::Says(500, ""));
    let world = world(&desk).await;
    let sent = Draw::new(21, &world.origin).singles(20);
    world.send(&sent).await;
    let mut worker = world.worker_until_empty();
    let began = Instant::now();
    while !worker.said().contains("the teams directory is away") {
        assert!(worker.is_running() && began.elapsed() < Duration::from_secs(30), "{}", worker.said());
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!((world.receipts().await, world.origin.log("/blob").await.len()), (0, 0));
    desk.is(Mood::Well);
    worker.ends_with(0, Duration::from_secs(60)).await;
    world.all_right("the teams directory away and back", &sent).await;
    assert!(!worker.said().contains(TOKEN), "{}", worker.said());
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_look_teams_up_in_the_directory() {
    let desk = Desk::open().await;
    desk.put("acme", "{}");
    let world = world(&desk).await;
    assert!(world.says(&["config", "check"]).await.contains("configuration is good"));
    assert!(!world.says(&["config", "show"]).await.contains(TOKEN));
    assert!(world.says(&["team", "claims"]).await.contains("no claims"));
    let moved = world.says(&["team", "claim", "--move", "bucket", "acme-raw", "acme"]).await;
    assert!(moved.contains("acme-raw"), "{moved}");
    let (code, said) = world.ends(&["team", "claim", "--move", "bucket", "acme-raw", "nobody"]).await;
    assert!(code == Some(64) && said.contains("there is no team nobody"), "{code:?}: {said}");
    let list = world.folder.path().join("list.csv");
    std::fs::write(&list, format!("url\n{}\n", world.origin.url("/blob/1?size=9"))).unwrap();
    let list = list.to_str().unwrap();
    world.says(&["import", list, "--team", "acme"]).await;
    let (code, said) = world.ends(&["import", list, "--team", "nobody"]).await;
    assert!(code == Some(64) && said.contains("there is no team nobody"), "{code:?}: {said}");
    desk.is(Mood::Says(503, ""));
    let (code, said) = world.ends(&["import", list, "--team", "acme"]).await;
    assert!(code == Some(69) && said.contains("it answered 503"), "{code:?}: {said}");
    world.clear().await;
}
