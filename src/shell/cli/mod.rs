//! The command line: reads it, runs one command, and turns its end into an exit code.
//!
//! Data goes to standard output, everything else to standard error. A failure is told in one line, or one for each mistake:
//! what, where, what to do. Each command stands in a file of its own; what they take is in [`args`].

pub mod args;
mod config;
mod dead;
mod events;
mod import;
mod man;
mod output;
mod receipt;
mod schema;
mod submit;
mod team;
mod webhooks;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::args::{Cli, Command};
use super::config::{Config, ConfigErrors, ConfigSource, Loaded, process_environment};
use super::exit::{Exit, Failure, Outcome};
use super::telemetry;
use crate::domain::id::TeamId;

/// How long the runtime may take to end what nobody waits for, such as a read of standard input.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What every command is told beside its own arguments.
#[derive(Debug, Clone)]
pub(super) struct Context {
    config: Option<PathBuf>,
    json: bool,
}

impl Context {
    /// Reads the configuration, as its own mistakes.
    fn load_raw(&self) -> Result<Loaded, ConfigErrors> {
        // Without a working folder relative paths start at the root of nothing; then the file must be named whole.
        let working_folder = std::env::current_dir().unwrap_or_default();
        let source = ConfigSource { file: self.config.clone(), working_folder };
        Config::load(&source, process_environment())
    }

    /// Reads the configuration.
    fn load(&self) -> Result<Loaded, Failure> {
        self.load_raw()
            .map_err(|errors| Failure { exit: Exit::BadInput, lines: config::configuration_mistakes(&errors) })
    }

    /// Reads the configuration and begins to log, from warnings on unless the log's filter was set.
    fn load_quietly(&self) -> Result<Loaded, Failure> {
        let loaded = self.load()?;
        let is_set = loaded.places.is_set("telemetry.log");
        let log = if is_set { loaded.config.telemetry.log.as_str() } else { "warn" };
        telemetry::begin(&loaded.config.telemetry, log);
        Ok(loaded)
    }
}

/// Reads the command line, does what it says, and returns the exit code. Wrong usage and `--help` end the process at once.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let context = Context { config: cli.config, json: cli.json };
    let ended = dispatch(cli.command, &context);
    let exit = ended.unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    });
    exit.into()
}

fn dispatch(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Schema { what } => schema::run(what),
        Command::Completions { shell } => man::completions(shell),
        Command::Man => man::man(),
        Command::Config(command) => config::run(command, context),
        Command::Worker(args) => block_on(worker::run(args, context)),
        Command::Import(args) => block_on(import::run(args, context)),
        Command::Submit(args) => block_on(submit::run(args, context)),
        Command::Receipt(args) => block_on(receipt::run(args, context)),
        Command::Events(args) => block_on(events::run(args, context)),
        Command::Dead(command) => block_on(dead::run(command, context)),
        Command::Webhooks(command) => block_on(webhooks::run(command, context)),
        Command::Team(command) => block_on(team::run(command, context)),
    }
}

/// Reads a team's id from an argument.
fn team_id(text: String) -> Result<TeamId, Failure> {
    TeamId::new(text).map_err(|bad| Failure::bad_input(bad.to_string()))
}

fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unreachable(format!("this machine gives us no threads: {error}")))?;
    let ended = runtime.block_on(command);
    runtime.shutdown_timeout(END_WITHIN);
    ended
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::args::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
