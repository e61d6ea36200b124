//! `longshore webhooks`: customers' endpoints as an operator sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;

use super::args::WebhooksCommand;
use super::receipt::store_failure;
use super::{Context, output, team_id};
use crate::domain::id::TeamId;
use crate::domain::webhook::endpoint::Endpoint;
use crate::engine::webhooks::endpoints::{Endpoints, LastAnswer};
use crate::ports::clock::Clock;
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// One endpoint, as it is shown.
#[derive(Debug, Default)]
struct Row {
    disabled: bool,
    /// How many deliveries wait; `None` where the queue cannot tell.
    backlog: Option<u64>,
    last: Option<LastAnswer>,
}

/// Endpoints by team and URL.
type Rows = BTreeMap<(String, String), Row>;

/// Lists endpoints, or enables one.
pub(super) async fn run(command: WebhooksCommand, context: &Context) -> Outcome {
    match command {
        WebhooksCommand::List { team } => {
            let team = team.map(team_id).transpose()?;
            show(&rows(team.as_ref(), context).await?, context)
        }
        WebhooksCommand::Enable { team, url } => enable(&team_id(team)?, &url, context).await,
    }
}

async fn rows(team: Option<&TeamId>, context: &Context) -> Result<Rows, Failure> {
    let loaded = context.load_quietly()?;
    let backlog = wiring::webhook_backlog(&loaded.config).await?;
    let opened = wiring::store_unproven(&loaded.config).await?;
    let known = Endpoints::new(Arc::clone(&opened.store)).list(team).await.map_err(|error| store_failure(&error))?;
    let none_waits = backlog.as_ref().map(|_| 0);
    let rows = known.into_iter().map(|known| {
        let row = Row { disabled: known.disabled, backlog: none_waits, last: known.last };
        ((known.team.to_string(), known.url), row)
    });
    let mut rows: Rows = rows.collect();
    for (endpoint, count) in backlog.into_iter().flatten() {
        if team.is_none_or(|team| team == endpoint.team()) {
            rows.entry((endpoint.team().to_string(), endpoint.url().to_owned())).or_default().backlog = Some(count);
        }
    }
    Ok(rows)
}

fn show(rows: &Rows, context: &Context) -> Outcome {
    if context.json {
        rows.iter().try_for_each(|row| output::json(&whole(row)))?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        output::line("no endpoints")?;
        return Ok(Exit::Done);
    }
    let cells: Vec<[String; 6]> = rows.iter().map(cells).collect();
    output::table(["TEAM", "STATE", "BACKLOG", "LAST STATUS", "LAST AT", "URL"], &cells)?;
    Ok(Exit::Done)
}

fn state(row: &Row) -> &'static str {
    if row.disabled { "disabled" } else { "enabled" }
}

fn whole(((team, url), row): (&(String, String), &Row)) -> Value {
    json!({
        "team": team, "url": url, "state": state(row), "backlog": row.backlog,
        "last_status": row.last.as_ref().and_then(|last| last.status),
        "last_at": row.last.as_ref().map(|last| last.at.to_string()),
    })
}

fn cells(((team, url), row): (&(String, String), &Row)) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let status =
        row.last.as_ref().map(|last| last.status.map_or_else(|| "none".to_owned(), |status| status.to_string()));
    [
        team.clone(),
        state(row).to_owned(),
        or_dash(row.backlog.map(|backlog| backlog.to_string())),
        or_dash(status),
        or_dash(row.last.as_ref().map(|last| last.at.to_string())),
        output::plain(url),
    ]
}

async fn enable(team: &TeamId, url: &str, context: &Context) -> Outcome {
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(parsed) = parsed else {
        return Err(Failure::bad_input("URL: is no http or https URL: write it as `longshore webhooks list` shows it"));
    };
    let endpoint = Endpoint::of(team, &parsed);
    let loaded = context.load_quietly()?;
    let opened = wiring::store_unproven(&loaded.config).await?;
    let endpoints = Endpoints::new(Arc::clone(&opened.store));
    let was_disabled = endpoints.is_disabled(&endpoint).await.map_err(|error| store_failure(&error))?;
    if !was_disabled {
        let line = format!("{} of team {team} is not disabled: see `longshore webhooks list`", endpoint.url());
        return Err(Failure::new(Exit::SomeFailed, line));
    }
    endpoints.switch(&endpoint, false, Clock::System.now()).await.map_err(|error| store_failure(&error))?;
    if context.json {
        output::json(&json!({"team": team, "url": endpoint.url(), "state": "enabled"}))?;
    } else {
        output::line(format!("enabled {}; `longshore dead replay` sends what was given up", endpoint.url()))?;
    }
    Ok(Exit::Done)
}
