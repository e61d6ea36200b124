//! An import in this process: a manifest's rows become tasks on a queue of their own, a worker copies them, and the receipts
//! tell what became of each row.
//!
//! The manifest is read twice and never held: once to make the tasks, once to tell what became of the rows. It is cut the same
//! way each time, so the same import goes on where it ended: a part whose receipt is there is not queued again. Nothing is
//! announced; the report tells. Read [`part`] for how rows become tasks, [`feeder`] for how they are queued.

mod feeder;
mod found;
mod lookup;
mod part;
mod progress;
mod report;
mod source;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use tracing::info;

use self::feeder::{Fed, Feeder};
use self::lookup::{Look, Looked};
use self::part::Cut;
use self::progress::Progress;
use self::report::Report;
use super::exit::{Exit, Failure};
use super::wiring::ImportQueue;
use crate::domain::manifest::Format;
use crate::engine::intake::Until;
use crate::engine::receipts::Receipts;
use crate::engine::settings::Settings;
use crate::engine::stop::Stop;
use crate::engine::worker::{Ports, Worker};

pub use found::Found;
pub use part::Naming;
pub use source::{Origin, Source};
pub use summary::Summary;

/// Parts whose receipts are looked for at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// What is imported, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The manifest.
    pub source: Source,
    /// How it is written.
    pub format: Format,
    /// Names and team of the tasks that its rows become.
    pub naming: Naming,
    /// Try the rows again that failed.
    pub retry_failed: bool,
    /// Where the result manifest is written.
    pub report: Option<PathBuf>,
}

/// How an import ended.
#[derive(Debug)]
pub enum Ended {
    /// All rows have ended.
    Whole(Summary),
    /// It was stopped before.
    Stopped,
}

/// Runs an import until all rows have ended, or it is stopped. May be repeated: it goes on where it ended.
///
/// # Errors
/// A manifest that cannot be read, an id that was used for another manifest, a report that cannot be written, or a store that
/// holds what cannot be. What was copied stays.
pub async fn run(
    job: &Job, ports: Ports, queue: &ImportQueue, settings: Settings, stop: &Stop,
) -> Result<Ended, Failure> {
    let began = Instant::now();
    let worker = Worker::new(&ports, settings, stop);
    let receipts = Receipts::new(Arc::clone(&ports.store), worker.gates.store.clone());
    let look = Look { receipts, naming: job.naming.clone() };
    let progress = Progress::begin(Arc::clone(&worker.tally));
    let feeder = Feeder { job, look: &look, queue: ports.queue.as_ref(), progress: &progress, stop };
    let feeding = async {
        let fed = feeder.run().await;
        // The worker runs until it is told that no more comes.
        stop.begin();
        fed
    };
    let (end, fed) = tokio::join!(worker.run(Until::Stopped), feeding);
    progress.end();
    match fed? {
        Fed::Stopped => {
            info!(?end, "the import was stopped");
            return Ok(Ended::Stopped);
        }
        Fed::All => {}
    }
    let mut summary = tell(job, &look, queue).await?;
    summary.seconds = began.elapsed().as_secs_f64();
    Ok(Ended::Whole(summary))
}

/// Goes through the manifest once more and tells what became of each row.
async fn tell(job: &Job, look: &Look, queue: &ImportQueue) -> Result<Summary, Failure> {
    let dead = lookup::dead_tasks(queue).await?;
    let (columns, mut parts) = parts(job, look)?;
    let mut summary = Summary::default();
    let mut report = match &job.report {
        Some(path) => Some(Report::begin(path, job.format, &columns).await?),
        None => None,
    };
    while let Some(looked) = parts.try_next().await? {
        for row in looked.rows(&dead) {
            summary.add(&row);
            if let Some(report) = &mut report {
                report.add(&row).await?;
            }
        }
    }
    if let Some(report) = report {
        report.finish().await?;
    }
    lookup::forget_dead(queue).await;
    Ok(summary)
}

/// Parts with what became of them; a failure is the last.
type LookedParts<'a> = BoxStream<'a, Result<Looked, Failure>>;

/// The manifest's parts, in order, each with what its receipts say; and a CSV's columns.
fn parts<'a>(job: &Job, look: &'a Look) -> Result<(Vec<String>, LookedParts<'a>), Failure> {
    let Cut { columns, parts } = part::cut(&job.source, job.format, &job.naming)?;
    let looked = stream_of(parts).map(move |part| async move { look.at(part?).await });
    Ok((columns, looked.buffered(LOOKS_AT_ONCE).boxed()))
}

/// A channel's end as a stream.
fn stream_of<T: Send + 'static>(parts: tokio::sync::mpsc::Receiver<T>) -> impl futures::Stream<Item = T> + Send {
    futures::stream::unfold(parts, |mut parts| async move { parts.recv().await.map(|part| (part, parts)) })
}

/// What a manifest, or the store, holds although it cannot be.
fn broken(line: impl Into<String>) -> Failure {
    Failure::new(Exit::BadInput, line)
}
