//! The command line: every command with its options, as a person types them.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::settlement::Reason;
use crate::shell::config::{Text, TimeSpan};

/// Copies what tasks point at into internal storage, with each team's own rights.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, about, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// Configuration file [default: $LONGSHORE_CONFIG, then ./longshore.toml, then built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the worker
    Worker(WorkerArgs),
    /// Copies a dataset in this process, on the embedded queue
    Import(ImportArgs),
    /// Puts task messages on the task queue: one JSON document, or JSON lines
    Submit(SubmitArgs),
    /// Prints a task's receipt
    Receipt(ReceiptArgs),
    /// Prints the events of `events.url = "local:"`, one JSON document a line
    Events(EventsArgs),
    /// Works the dead-letter queue
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Shows customers' endpoints, and enables one that was disabled
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// Checks what teams granted, prints what customers must set up, shows and moves claims
    #[command(subcommand)]
    Team(TeamCommand),
    /// Checks and shows the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints a JSON Schema, or the AsyncAPI document
    Schema {
        /// Of what
        what: SchemaOf,
    },
    /// Prints shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

/// Options of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// What it works on [default: all that there is]
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    pub roles: Vec<Role>,
    /// End when the queues are empty and nothing is in hand
    #[arg(long)]
    pub until_empty: bool,
}

/// What a worker may work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Tasks of the task queue.
    Ingest,
    /// Imports of the task queue.
    Imports,
    /// Deliveries of completions to customers.
    Webhooks,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The manifest: a file, or an http(s) or file URL; .gz and .zst are read through
    pub manifest: String,
    /// The team; needed where rows name none
    #[arg(long)]
    pub team: Option<String>,
    /// The manifest's format
    #[arg(long, default_value = "auto", value_name = "FORMAT")]
    pub format: ManifestFormat,
    /// The import's id: the same id goes on where it ended [default: made from the manifest and the team]
    #[arg(long)]
    pub id: Option<String>,
    /// Only submit an import message
    #[arg(long)]
    pub enqueue: bool,
    /// Write the result manifest to this file: the rows, each URL replaced by its copy's
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Try the rows that failed again, and only those
    #[arg(long)]
    pub retry_failed: bool,
    /// The normalization profile [default: the team's]
    #[arg(long, value_name = "PROFILE")]
    pub normalize: Option<String>,
}

/// How a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManifestFormat {
    /// Told by the content.
    Auto,
    /// One task body a line.
    Tasks,
    /// One URL a line.
    Urls,
    /// A header with a column `url`, perhaps `id`.
    Csv,
    /// Frame rows.
    Aquarium,
    /// Items and scenes.
    Nucleus,
    /// Data rows.
    Labelbox,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// One JSON document, or JSON lines; `-` for standard input
    pub file: PathBuf,
    /// Start a new round of tasks that have ended
    #[arg(long)]
    pub again: bool,
}

/// Options of `receipt`.
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// The team
    pub team: String,
    /// The task
    pub task_id: String,
    /// This round's [default: the latest]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub round: Option<u32>,
}

/// Options of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with new ones as they come
    #[arg(long)]
    pub follow: bool,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// Lists them, oldest first
    List {
        /// At most so many; all without it
        #[arg(long)]
        limit: Option<usize>,
        /// Which
        #[command(flatten)]
        only: DeadFilter,
    },
    /// Shows one whole
    Show {
        /// Its id, from `dead list`
        id: String,
    },
    /// Puts them back on the task queue with their original body and attributes
    Replay {
        /// These, by id
        #[arg(required_unless_present_any = ["all", "reason", "team", "older_than", "newer_than"], conflicts_with = "all")]
        ids: Vec<String>,
        /// All
        #[arg(long)]
        all: bool,
        /// Which
        #[command(flatten)]
        only: DeadFilter,
    },
    /// Deletes all of them, or those named, for good
    Purge {
        /// Only these, by id
        ids: Vec<String>,
        /// Which
        #[command(flatten)]
        only: DeadFilter,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Shows endpoints with backlog, last answer and state
    List {
        /// Only this team's
        team: Option<String>,
    },
    /// Enables an endpoint that answered 410
    Enable {
        /// The team
        team: String,
        /// The endpoint's URL, as `webhooks list` shows it
        url: String,
    },
}

/// Which dead letters are meant; what is not given does not matter.
#[derive(Debug, Clone, Default, Args)]
pub struct DeadFilter {
    /// Only those with this reason
    #[arg(long, value_parser = PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.as_str())))]
    pub reason: Option<String>,
    /// Only those of this team
    #[arg(long)]
    pub team: Option<String>,
    /// Only those that have been there for at least this long, such as 2h
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only those that have not been there for this long, such as 30m
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub newer_than: Option<Duration>,
}

fn age(text: &str) -> Result<Duration, String> {
    TimeSpan::from_text(text).map(TimeSpan::get)
}

/// What to do with teams.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Checks a team's integrations; ends with 1 when anything is not as it should be
    Check(CheckArgs),
    /// Prints what the customer must set up, with this deployment's identity and the ids made for the team
    Onboard(OnboardArgs),
    /// Shows who claimed which bucket, role, account or tenant
    Claims {
        /// Only this team's
        team: Option<String>,
    },
    /// Moves a claim
    Claim {
        /// What, its name, and to whom; KIND is bucket, role, external_id, service_account, uid, tenant or account
        #[arg(long = "move", required = true, num_args = 3, value_names = ["KIND", "NAME", "TEAM"])]
        moved: Vec<String>,
    },
}

/// Options of `team check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The team
    pub team: String,
    /// An object that should be readable; may be given several times
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// An origin whose pages should be let in by the buckets' CORS rules, such as `https://app.acme.com`
    #[arg(long, value_name = "ORIGIN")]
    pub cors_origin: Option<String>,
}

/// Options of `team onboard`.
#[derive(Debug, Args)]
pub struct OnboardArgs {
    /// The team
    pub team: String,
    /// On which cloud
    #[arg(long, value_name = "CLOUD")]
    pub cloud: OnboardCloud,
    /// As what; the last three for aws only
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub format: OnboardFormat,
    /// Azure: where the consent page leads back to, one of the application's registered addresses
    #[arg(long, value_name = "URL")]
    pub redirect_uri: Option<String>,
}

/// Where a customer is invited to grant something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnboardCloud {
    /// Amazon's.
    Aws,
    /// Google's.
    Gcp,
    /// Microsoft's.
    Azure,
}

/// What is printed for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnboardFormat {
    /// Instructions.
    Text,
    /// A template.
    Cloudformation,
    /// A module.
    Terraform,
    /// The two policies, as JSON.
    Policy,
}

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Reports every mistake at once, in the configuration and the teams file
    Check,
    /// Prints the settings in force, secrets masked
    Show,
}

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A task message.
    Task,
    /// An import message.
    Import,
    /// A completion event.
    Completion,
    /// A receipt.
    Receipt,
    /// A configuration file.
    Config,
    /// A teams file.
    Teams,
    /// All messages, as AsyncAPI 3.
    Asyncapi,
}
