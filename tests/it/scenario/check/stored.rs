//! Objects are whole, named by a receipt, and were fetched once; nothing else lies in internal storage.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::seen::Seen;
use super::super::vault::Kept;
use super::tasks::Task;
use super::{Report, Wrong};

/// Checks objects, facts and the number of fetches.
pub(super) fn check(seen: &Seen, tasks: &[Task<'_>], report: &mut Report) {
    let named = named_objects(seen, tasks, report);
    // What remains of a race has its facts beside it.
    let remains = seen.kept.keys().filter(|key| seen.raced && key.contains("/objects/"));
    let stems: BTreeSet<String> = named.iter().chain(remains).map(|key| stem(key)).collect();
    let (mut objects, mut facts, mut probes, mut claims) = (0, 0, 0, 0);
    for (key, kept) in &seen.kept {
        let kind = key.split('/').nth(1).unwrap_or_default();
        match (key.starts_with('_'), kind) {
            (false, "receipts") => {}
            (false, "objects") => {
                objects += 1;
                if !named.contains(key) && !seen.raced {
                    report.problem(format!("an object that no receipt names: {key}"));
                }
            }
            (false, "facts") => {
                facts += 1;
                if !stems.contains(&stem(&key.replacen("/facts/", "/objects/", 1))) {
                    report.problem(format!("facts of no object: {key}"));
                }
            }
            // What is known of endpoints stays.
            (false, "state") if seen.hooks.is_some() => {}
            (true, _) if key.starts_with("_claims/") => {
                claims += 1;
                if !is_rightful(seen, kept) {
                    report.problem(format!("a claim of what is not the team's own: {key}"));
                }
            }
            (true, _) if seen.was_killed && key.starts_with("_probe/") => probes += 1,
            (true, _) if seen.hooks.is_some() && key.starts_with("_webhooks/") => {}
            // What is known of suspects stays.
            (true, _) if seen.was_killed && key.starts_with("_alone/") => {}
            (_, _) => report.problem(format!("nothing belongs at {key}")),
        }
    }
    report.count("objects found", objects);
    report.count("facts documents found", facts);
    report.count("claims found", claims);
    report.count("left by killed probes", probes);
    count_fetches(seen, tasks, report);
}

fn is_rightful(seen: &Seen, claim: &Kept) -> bool {
    let Ok(claim) = serde_json::from_slice::<Value>(claim.document.as_deref().unwrap_or_default()) else {
        return false;
    };
    let text = |name: &str| claim[name].as_str().unwrap_or_default().to_owned();
    seen.claims.contains(&[text("kind"), text("name"), text("team")])
}

/// All objects that receipts name, each compared with the facts that stand there.
fn named_objects(seen: &Seen, tasks: &[Task<'_>], report: &mut Report) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut attachments = 0;
    for task in tasks {
        for outcome in task.receipt["attachments"].as_array().into_iter().flatten() {
            let Some(uri) = outcome["object"]["uri"].as_str() else {
                continue;
            };
            attachments += 1;
            let Some(key) = uri.strip_prefix(&seen.uri_prefix) else {
                report.problem(format!("{}: {uri} is outside the store", task.key));
                continue;
            };
            if !key.starts_with(&format!("{}/objects/", task.wanted.team)) {
                report.problem(format!("{}: {key} is outside the team's prefix", task.key));
            }
            match seen.kept.get(key) {
                None => report.problem(format!("{}: there is no object {key}", task.key)),
                Some(kept) if outcome["object"]["sha256"] != kept.content.sha256.as_str() => {
                    report.wrong(Wrong::Bytes, format!("{}: {key} holds other bytes than the receipt says", task.key));
                }
                Some(kept) if outcome["object"]["bytes"] != kept.content.bytes => {
                    report.problem(format!("{}: {key} has another size than the receipt says", task.key));
                }
                Some(_) => {}
            }
            named.insert(key.to_owned());
        }
    }
    report.count("attachments stored", attachments);
    named
}

fn stem(key: &str) -> String {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    format!("{folder}/{}", name.split('.').next().unwrap_or_default())
}

fn count_fetches(seen: &Seen, tasks: &[Task<'_>], report: &mut Report) {
    let mut whole: BTreeMap<&str, usize> = BTreeMap::new();
    for request in seen.log.iter().filter(|request| request.is_whole_fetch()) {
        *whole.entry(&request.target).or_default() += 1;
    }
    let targets = tasks.iter().flat_map(|task| &task.wanted.parts).filter_map(|part| part.outcome.target());
    let fetches: Vec<usize> = targets.filter_map(|target| whole.get(target).copied()).collect();
    report.most_fetches = fetches.iter().copied().max().unwrap_or_default();
    let sum: usize = fetches.iter().sum();
    let mean = (sum * 1000).checked_div(fetches.len()).unwrap_or_default();
    report.figure("whole fetches a stored attachment", format!("{}.{:03}", mean / 1000, mean % 1000));
    report.count("most of one attachment", report.most_fetches);
    let twice: Vec<&str> = whole.iter().filter(|(_, count)| **count > 1).map(|(target, _)| *target).collect();
    report.count("bodies fetched whole twice", twice.len());
    for target in twice.iter().take(5) {
        report.note(format!("fetched {} times: {target}", whole[target]));
    }
}
