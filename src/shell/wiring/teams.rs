//! Opens the teams directory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::settings::PROFILES;
use super::sources::bad_tls;
use crate::adapters::fetch::service::HttpService;
use crate::adapters::teams::served::{
    ANSWER_WITHIN, DirectoryOptions, FRESH, RECORD_BYTES_MAX, STALE_MAX, TeamsDirectory,
};
use crate::adapters::teams::{Directory, TeamsFile, TeamsOptions, check};
use crate::ports::teams::Teams;
use crate::shell::config::{Loaded, TeamsSource, Template, process_environment};
use crate::shell::exit::{Exit, Failure};

/// Opens the teams file, or a directory, which is not asked for anything yet.
///
/// # Errors
/// The mistakes of the file, one line each. A file that is not there has none: then nobody is a team yet.
pub fn teams(loaded: &Loaded) -> Result<Arc<dyn Teams>, Failure> {
    let path = match &loaded.config.teams.source {
        TeamsSource::File { path } => path,
        TeamsSource::Directory { template } => return directory(loaded, template),
    };
    let teams = TeamsFile::open(path, &teams_options(loaded, path)).map_err(|errors| Failure {
        exit: Exit::BadInput,
        lines: errors.mistakes.iter().map(|mistake| teams_line(path, mistake)).collect(),
    })?;
    Ok(Arc::new(teams))
}

fn directory(loaded: &Loaded, template: &Template) -> Result<Arc<dyn Teams>, Failure> {
    let teams = &loaded.config.teams;
    let service = Arc::new(HttpService::new(ANSWER_WITHIN, RECORD_BYTES_MAX).map_err(bad_tls)?);
    let options = DirectoryOptions {
        team_url: template.expose().to_owned(),
        bucket_url: teams.bucket_url.as_ref().map(|template| template.expose().to_owned()),
        token: teams.token.as_ref().map(|token| SecretString::from(token.expose().to_owned())),
        integration_role_name: loaded.config.aws.integration_role_name.clone(),
        fresh: FRESH,
        stale_max: STALE_MAX,
    };
    Ok(Arc::new(TeamsDirectory::new(service, options)))
}

/// Every mistake of the teams file, one line each; a directory is not asked.
#[must_use]
pub fn check_teams(loaded: &Loaded) -> Vec<String> {
    let TeamsSource::File { path } = &loaded.config.teams.source else {
        return Vec::new();
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return vec![format!("teams.source: {} cannot be read: {error}", path.display())];
        }
    };
    match check(&text, &teams_options(loaded, path)) {
        Ok(directory) => unknown_profiles(&directory).iter().map(|line| teams_line(path, line)).collect(),
        Err(mistakes) => mistakes.iter().map(|mistake| teams_line(path, mistake)).collect(),
    }
}

/// The teams whose record names a profile that is not there. A worker starts with them: their attachments fail until it is.
fn unknown_profiles(directory: &Directory) -> Vec<String> {
    let named = directory.iter().filter_map(|team| Some((&team.id, team.record.normalize.as_deref()?)));
    let unknown = named.filter(|(_, profile)| !PROFILES.contains(profile));
    let line = |(team, profile)| {
        format!("team {team}: normalize: there is no profile {profile:?}: write one of {}", PROFILES.join(", "))
    };
    unknown.map(line).collect()
}

fn teams_line(path: &Path, mistake: &dyn std::fmt::Display) -> String {
    format!("{}: {mistake}", path.display())
}

fn teams_options(loaded: &Loaded, path: &Path) -> TeamsOptions {
    let environment: HashMap<String, String> = process_environment().collect();
    TeamsOptions {
        integration_role_name: loaded.config.aws.integration_role_name.clone(),
        folder: path.parent().unwrap_or(&loaded.base_dir).to_owned(),
        environment: Arc::new(move |name| environment.get(name).cloned()),
    }
}
