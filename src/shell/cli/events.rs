//! `longshore events`: the events of `events.url = "local:"`, one JSON document a line.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::args::EventsArgs;
use super::{Context, output};
use crate::ports::publisher::Event;
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// Events of one reading.
const PAGE: usize = 500;
/// How often new ones are looked for.
const POLL: Duration = Duration::from_millis(250);

/// Prints all events that are kept, and with `--follow` those that come.
pub(super) async fn run(args: EventsArgs, context: &Context) -> Outcome {
    let loaded = context.load_quietly()?;
    let Some(events) = wiring::local_events(&loaded.config).await? else {
        return Err(Failure::bad_input(
            "events.url: only events of \"local:\" can be printed here; read those of a broker there",
        ));
    };
    let mut place = 0;
    loop {
        let page = events.read_after(place, PAGE).await;
        let page = page.map_err(|error| Failure::unreachable(format!("events.url: {error}")))?;
        for stored in &page {
            output::line(shown(&stored.event))?;
            place = stored.sequence;
        }
        if page.is_empty() {
            if !args.follow {
                return Ok(Exit::Done);
            }
            sleep(POLL).await;
        }
    }
}

/// The completion with its `id` beside `type`.
fn shown(event: &Event) -> String {
    let mut line = Map::new();
    line.insert("id".to_owned(), Value::String(event.id.clone()));
    match serde_json::from_slice(&event.body) {
        Ok(Value::Object(body)) => line.extend(body),
        Ok(other) => drop(line.insert("body".to_owned(), other)),
        Err(_) => {
            let text = String::from_utf8_lossy(&event.body).into_owned();
            line.insert("body".to_owned(), Value::String(text));
        }
    }
    Value::Object(line).to_string()
}
