//! What was visible in the store when a worker was killed: none of it may be fetched again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::expect::Sent;
use super::process::Worker;
use super::seen::Seen;
use super::world::World;

/// How long a request that was sent before the kill may take to reach the origin's log.
const IN_THE_AIR: Duration = Duration::from_millis(300);

/// The moment of one kill.
pub(crate) struct Hit {
    at: f64,
    visible: BTreeSet<String>,
}

impl Hit {
    /// Kills `worker` and notes what is visible then.
    pub(crate) async fn kill(world: &World, worker: Worker) -> Self {
        worker.kill();
        world.has_killed();
        tokio::time::sleep(IN_THE_AIR).await;
        Self::now(world).await
    }

    /// Notes what is visible now, while nobody works.
    pub(crate) async fn now(world: &World) -> Self {
        let visible = world.vault.keys().await.into_iter().filter(|key| key.contains("/objects/")).collect();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        Self { at, visible }
    }

    /// How many objects were visible.
    pub(crate) fn visible(&self) -> usize {
        self.visible.len()
    }
}

/// The targets that were asked for with GET after a kill although their copy was there.
pub(crate) fn fetched_again(hits: &[Hit], seen: &Seen, sent: &[Sent]) -> Vec<String> {
    let mut asked: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for request in seen.log.iter().filter(|request| request.method == "GET") {
        asked.entry(&request.target).or_default().push(request.time);
    }
    let mut again = Vec::new();
    for wanted in sent.iter().filter_map(Sent::wanted) {
        let Some(kept) = seen.kept.get(&wanted.receipt_key()) else {
            continue;
        };
        let receipt: serde_json::Value = serde_json::from_slice(kept.document.as_ref().unwrap()).unwrap();
        for (index, part) in wanted.parts.iter().enumerate() {
            let (Some(target), Some(uri)) =
                (part.outcome.target(), receipt["attachments"][index]["object"]["uri"].as_str())
            else {
                continue;
            };
            let key = uri.trim_start_matches(&seen.uri_prefix);
            let times = asked.get(target).map(Vec::as_slice).unwrap_or_default();
            let is_again = |hit: &Hit| hit.visible.contains(key) && times.iter().any(|time| *time > hit.at);
            if hits.iter().any(is_again) {
                again.push(target.to_owned());
            }
        }
    }
    again
}
