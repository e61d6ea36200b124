//! `longshore team check`: looks whether what a team granted is as it should be.

use std::sync::Arc;

use serde::Serialize;

use super::known_team;
use crate::domain::integration::{CheckName, CheckReport, Cloud, Finding, Verdict};
use crate::engine::claims::Claims;
use crate::engine::integrations::{Integrations, Wish};
use crate::ports::budget::Unlimited;
use crate::ports::clock::Clock;
use crate::shell::cli::args::CheckArgs;
use crate::shell::cli::receipt::store_failure;
use crate::shell::cli::{Context, output, team_id};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring::{self, FileRoots};

/// One finding as it is promised to programs.
#[derive(Serialize)]
struct Line<'a> {
    name: CheckName,
    success: bool,
    message: &'a str,
    checked_at: String,
    integration: Cloud,
    subject: Option<&'a str>,
}

/// Checks a team's integrations.
pub(super) async fn run(args: CheckArgs, context: &Context) -> Outcome {
    let loaded = context.load_quietly()?;
    let team = known_team(&team_id(args.team)?, &loaded, "team check").await?;
    let opened = wiring::store_unproven(&loaded.config).await?;
    // A person waits for a handful of requests: no limit is kept for them.
    let budget = Arc::new(Unlimited);
    let integrations = Integrations {
        claims: Claims::new(Arc::clone(&opened.store), Clock::System),
        store: Arc::clone(&opened.store),
        fetcher: wiring::fetcher(&loaded.config, budget.clone(), FileRoots::PerTeam)?,
        checks: wiring::integration_checks(&loaded.config, budget)?,
        policy: wiring::settings(&loaded.config).policy,
        clock: Clock::System,
    };
    let wish = Wish { urls: args.url, cors_origin: args.cors_origin };
    let reports = integrations.check(&team, &wish).await.map_err(|error| store_failure(&error))?;
    if wish.cors_origin.is_some() && !has(&reports, |finding| finding.name == CheckName::Cors) {
        let line = "--cors-origin: no bucket to ask: list buckets in the team's record, or name an object with --url";
        return Err(Failure::bad_input(line));
    }
    show(&reports, context)?;
    let all_good = !has(&reports, |finding| finding.verdict != Verdict::Good);
    Ok(if all_good { Exit::Done } else { Exit::SomeFailed })
}

fn has(reports: &[CheckReport], what: impl Fn(&Finding) -> bool) -> bool {
    reports.iter().flat_map(|report| &report.findings).any(what)
}

fn show(reports: &[CheckReport], context: &Context) -> Result<(), Failure> {
    let all = || reports.iter().flat_map(|report| report.findings.iter().map(move |finding| (report, finding)));
    if context.json {
        return all().try_for_each(|(report, finding)| output::json(&line(report, finding)));
    }
    if all().next().is_none() {
        return output::line("nothing to check: the team has no integration with a cloud");
    }
    let rows: Vec<[String; 5]> = all().map(|(report, finding)| row(report, finding)).collect();
    output::table(["CLOUD", "CHECK", "RESULT", "SUBJECT", "MESSAGE"], &rows)
}

fn line<'a>(report: &CheckReport, finding: &'a Finding) -> Line<'a> {
    Line {
        name: finding.name,
        success: finding.verdict == Verdict::Good,
        message: &finding.message,
        checked_at: report.checked_at.to_string(),
        integration: report.integration,
        subject: finding.subject.as_deref(),
    }
}

fn row(report: &CheckReport, finding: &Finding) -> [String; 5] {
    let result = match finding.verdict {
        Verdict::Good => "good",
        Verdict::Bad => "FAILED",
        Verdict::Unproven => "not shown",
    };
    [
        report.integration.as_str().to_owned(),
        finding.name.as_str().to_owned(),
        result.to_owned(),
        finding.subject.as_deref().map_or_else(|| "-".to_owned(), output::plain),
        output::plain(&finding.message),
    ]
}
