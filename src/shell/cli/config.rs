//! `longshore config`: every mistake at once, and what is in force.

use serde_json::json;

use super::args::ConfigCommand;
use super::{Context, output};
use crate::shell::config::ConfigErrors;
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// Checks or shows the configuration.
pub(super) fn run(command: ConfigCommand, context: &Context) -> Outcome {
    match command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Show => show(context),
    }
}

fn check(context: &Context) -> Outcome {
    let loaded = match context.load_raw() {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(context, configuration_mistakes(&errors)),
    };
    let mut mistakes = wiring::check_teams(&loaded);
    if let Err(failure) = wiring::way_out(&loaded.config.sources.http) {
        mistakes.extend(failure.lines);
    }
    if !mistakes.is_empty() {
        return refuse(context, mistakes);
    }
    if context.json {
        output::json(&json!({"good": true, "mistakes": []}))?;
    } else {
        output::line("configuration is good")?;
    }
    Ok(Exit::Done)
}

/// The mistakes of a configuration, one line each.
pub(super) fn configuration_mistakes(errors: &ConfigErrors) -> Vec<String> {
    let each = errors.0.iter().map(|error| ConfigErrors(vec![error.clone()]).to_string());
    each.collect()
}

fn refuse(context: &Context, mistakes: Vec<String>) -> Outcome {
    if context.json {
        output::json(&json!({"good": false, "mistakes": mistakes}))?;
        return Ok(Exit::BadInput);
    }
    Err(Failure { exit: Exit::BadInput, lines: mistakes })
}

fn show(context: &Context) -> Outcome {
    let settings = context.load()?.config.effective();
    if context.json {
        output::json(&settings)?;
    } else {
        let text = toml::to_string(&settings).expect("a table of settings is TOML, and a test writes each");
        output::line(text.trim_end())?;
    }
    Ok(Exit::Done)
}
