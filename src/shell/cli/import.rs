//! `longshore import`: copies a dataset in this process.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{ImportArgs, ManifestFormat};
use super::{Context, output};
use crate::domain::digest::Sha256;
use crate::domain::id::{ImportId, TeamId};
use crate::domain::manifest::Format;
use crate::engine::stop::Stop;
use crate::engine::worker::Ports;
use crate::ports::clock::Clock;
use crate::ports::fetcher::Fetcher;
use crate::ports::teams::{Lookup, Teams};
use crate::shell::config::{Config, Loaded, TeamsSource};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::import::{self, Ended, Found, Job, Naming, Origin, Source, Summary};
use crate::shell::wiring::{self, FileRoots};
use crate::shell::{signals, telemetry};

/// An import's id is followed by `.retry-N.part-N` in the ids of its tasks, which have 128 characters.
const ID_BYTES_MAX: usize = 90;

/// Imports a manifest.
pub(super) async fn run(args: ImportArgs, context: &Context) -> Outcome {
    let loaded = load(context)?;
    let config = &loaded.config;
    let format = format(&args)?;
    let team = args.team.clone().map(TeamId::new).transpose();
    let team = team.map_err(|bad| Failure::bad_input(format!("--team: {bad}")))?;
    let stop = Stop::default();
    signals::listen(&stop)?;
    let found = find(&args, config).await?;
    let source = found.source.clone();
    let job = tokio::task::block_in_place(|| job(&args, format, team, source))?;
    let teams = known_teams(&loaded, job.naming.team.as_ref()).await?;
    let settings = wiring::settings(config);
    check_profile(args.normalize.as_deref(), &settings.policy.profiles)?;
    let budget = wiring::budget(config, &settings).await?;
    let fetcher = wiring::fetcher(config, budget, roots(&job.source))?;
    let opened = wiring::store(config).await?;
    let queue = wiring::import_queue(config, &job.naming.import).await?;
    let ports = Ports {
        queue: Arc::clone(&queue.queue),
        publisher: None,
        store: Arc::clone(&opened.store),
        envelopes: wiring::envelopes(config)?,
        teams,
        fetcher,
        webhooks: None,
        clock: Clock::System,
    };
    let ended = import::run(&job, ports, &queue, settings, &stop).await;
    opened.close().await;
    match ended? {
        Ended::Whole(summary) => finish(&args, &job, &summary, context),
        Ended::Stopped => Err(Failure::new(
            Exit::HandedBack,
            format!(
                "import {}: stopped; what was copied stays, and the same command goes on with it (--id {})",
                job.naming.import, job.naming.import
            ),
        )),
    }
}

/// Reads the configuration and begins to log: quietly on a terminal, where a bar shows the progress.
fn load(context: &Context) -> Result<Loaded, Failure> {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        return context.load_quietly();
    }
    let loaded = context.load()?;
    telemetry::begin(&loaded.config.telemetry, &loaded.config.telemetry.log);
    Ok(loaded)
}

/// The format that was asked for; `None` if the content is to tell.
fn format(args: &ImportArgs) -> Result<Option<Format>, Failure> {
    if args.enqueue {
        return Err(Failure::bad_input(
            "--enqueue: imports on the queue are not supported by this version yet; leave it out",
        ));
    }
    let later = |name: &str| {
        Err(Failure::bad_input(format!(
            "--format: {name} is not supported by this version yet; use tasks, urls or csv"
        )))
    };
    match args.format {
        ManifestFormat::Auto => Ok(None),
        ManifestFormat::Tasks => Ok(Some(Format::Tasks)),
        ManifestFormat::Urls => Ok(Some(Format::Urls)),
        ManifestFormat::Csv => Ok(Some(Format::Csv)),
        ManifestFormat::Aquarium => later("aquarium"),
        ManifestFormat::Nucleus => later("nucleus"),
        ManifestFormat::Labelbox => later("labelbox"),
    }
}

async fn find(args: &ImportArgs, config: &Config) -> Result<Found, Failure> {
    if let Some(found) = Found::here(&args.manifest)? {
        return Ok(found);
    }
    let settings = wiring::settings(config);
    let budget = wiring::budget(config, &settings).await?;
    let fetcher: Arc<dyn Fetcher> = wiring::fetcher(config, budget, FileRoots::PerTeam)?;
    let folder = config.state_dir.join("imports");
    Found::fetched(&args.manifest, &folder, fetcher.as_ref(), settings.retry).await
}

/// Puts the import together; reads the manifest, for its format and for the id that follows from it.
fn job(args: &ImportArgs, format: Option<Format>, team: Option<TeamId>, source: Source) -> Result<Job, Failure> {
    let format = format.map_or_else(|| source.format(), Ok)?;
    let is_list = match format {
        Format::Urls | Format::Csv => true,
        Format::Tasks => false,
    };
    if is_list && team.is_none() {
        let line = format!("--team: rows of {} name no team: say whose they are", format.as_str());
        return Err(Failure::bad_input(line));
    }
    if !is_list && args.normalize.is_some() {
        return Err(Failure::bad_input("--normalize: task bodies name their profile themselves; leave it out"));
    }
    let import = import_id(args, format, &source)?;
    let naming = Naming { import, team, normalize: args.normalize.clone() };
    Ok(Job { source, format, naming, retry_failed: args.retry_failed, report: args.report.clone() })
}

/// The id that was given, or one that follows from the manifest's content and place and the team, so that the same command
/// goes on with the same import.
fn import_id(args: &ImportArgs, format: Format, source: &Source) -> Result<ImportId, Failure> {
    let text = match &args.id {
        Some(id) if id.len() > ID_BYTES_MAX => {
            return Err(Failure::bad_input(format!("--id: must be at most {ID_BYTES_MAX} characters")));
        }
        Some(id) => id.clone(),
        None => {
            let origin = match &source.origin {
                Origin::Folder(folder) => folder.to_string_lossy().into_owned(),
                Origin::Url(_) => source.name.clone(),
            };
            let content = source.digest()?;
            let parts: [&[u8]; 5] = [
                args.team.as_deref().unwrap_or_default().as_bytes(),
                format.as_str().as_bytes(),
                args.normalize.as_deref().unwrap_or_default().as_bytes(),
                origin.as_bytes(),
                content.as_bytes(),
            ];
            format!("imp-{}", &Sha256::of_parts(&parts).to_string()[..16])
        }
    };
    ImportId::new(text).map_err(|bad| Failure::bad_input(format!("--id: {}", bad.problem)))
}

/// Opens the teams directory and looks the import's team up, so that a wrong name is told at once.
async fn known_teams(loaded: &Loaded, team: Option<&TeamId>) -> Result<Arc<dyn Teams>, Failure> {
    let table = team.map_or_else(|| "[TEAM]".to_owned(), |team| format!("[{team}]"));
    let (place, what_to_do) = match &loaded.config.teams.source {
        TeamsSource::File { path } if !path.exists() => return Err(no_teams_file(path, &table)),
        TeamsSource::File { path } => (path.display().to_string(), format!("add a table {table} to it")),
        TeamsSource::Directory { template } => {
            (template.to_string(), "add it there first, or correct the name".to_owned())
        }
    };
    let teams = wiring::teams(loaded)?;
    let Some(id) = team else { return Ok(teams) };
    match teams.team(id).await {
        Ok(Lookup::Known(_)) => Ok(teams),
        Ok(Lookup::Unknown) => {
            Err(Failure::bad_input(format!("--team: there is no team {id} in {place}: {what_to_do}")))
        }
        Err(error) => Err(Failure::unreachable(format!("teams.source: {error}"))),
    }
}

fn no_teams_file(place: &Path, table: &str) -> Failure {
    Failure::bad_input(format!(
        "teams.source: there is no file {}: make it with one line, {table}, or name another",
        place.display()
    ))
}

/// A profile that is not there would fail every row.
fn check_profile(profile: Option<&str>, known: &[String]) -> Result<(), Failure> {
    match profile {
        Some(name) if !known.iter().any(|profile| profile == name) => Err(Failure::bad_input(format!(
            "--normalize: there is no profile {name:?}: write one of {}",
            known.join(", ")
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What is beside a manifest of this machine may be read; beside one at a URL is nothing of this machine.
fn roots(source: &Source) -> FileRoots {
    match &source.origin {
        Origin::Folder(folder) => FileRoots::And(vec![folder.clone()]),
        Origin::Url(_) => FileRoots::PerTeam,
    }
}

fn finish(args: &ImportArgs, job: &Job, summary: &Summary, context: &Context) -> Outcome {
    if context.json {
        print_json(args, job, summary)?;
    } else {
        print(job, summary)?;
    }
    if summary.failed == 0 {
        return Ok(Exit::Done);
    }
    let again = if args.report.is_some() { "see the report" } else { "--report FILE tells which" };
    Err(Failure::new(
        Exit::SomeFailed,
        format!(
            "import {}: {} of {} rows failed: {again}; --retry-failed tries them again",
            job.naming.import, summary.failed, summary.rows
        ),
    ))
}

fn rate(summary: &Summary) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a pace needs no more digits than a float has")]
    let rows = summary.rows as f64;
    rows / summary.seconds.max(0.001)
}

fn print_json(args: &ImportArgs, job: &Job, summary: &Summary) -> Result<(), Failure> {
    let mut value = json!({"import_id": job.naming.import, "team": job.naming.team, "format": job.format.as_str()});
    if let (Value::Object(all), Ok(Value::Object(numbers))) = (&mut value, serde_json::to_value(summary)) {
        all.extend(numbers);
        all.insert("rows_per_second".to_owned(), json!(rate(summary)));
        all.insert("report".to_owned(), json!(args.report));
    }
    output::json(&value)
}

fn print(job: &Job, summary: &Summary) -> Result<(), Failure> {
    let team = job.naming.team.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    output::table(
        ["IMPORT", "TEAM", "ROWS", "STORED", "FAILED", "BYTES", "SECONDS", "ROWS/S"],
        &[[
            job.naming.import.to_string(),
            team,
            summary.rows.to_string(),
            summary.stored.to_string(),
            summary.failed.to_string(),
            output::bytes(summary.bytes),
            format!("{:.1}", summary.seconds),
            format!("{:.1}", rate(summary)),
        ]],
    )?;
    if summary.failed_by_code.is_empty() {
        return Ok(());
    }
    let codes: Vec<[String; 2]> =
        summary.failed_by_code.iter().map(|(code, rows)| [code.clone(), rows.to_string()]).collect();
    output::line("")?;
    output::table(["FAILED WITH", "ROWS"], &codes)
}
