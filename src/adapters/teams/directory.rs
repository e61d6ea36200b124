//! A teams file that was read and found good as a whole: no team is known by half a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::overlap;
use super::record;
use super::secrets::Secrets;
use super::section::{Mistake, Notes, Section};
use crate::domain::id::TeamId;
use crate::domain::team::{KnownTeam, Team};

/// Gives a variable of the environment, if it is set.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a teams file means depends on these settings of the deployment.
#[derive(Clone)]
pub struct TeamsOptions {
    /// The role's name where a team gives only its account.
    pub integration_role_name: String,
    /// What relative paths of secrets begin at.
    pub folder: PathBuf,
    /// Where `env:` secrets are looked up.
    pub environment: Environment,
}

impl std::fmt::Debug for TeamsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeamsOptions")
            .field("integration_role_name", &self.integration_role_name)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// All teams of a good file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Directory {
    teams: BTreeMap<TeamId, Arc<KnownTeam>>,
}

impl Directory {
    /// The team and its record, if it is in the file.
    #[must_use]
    pub fn get(&self, id: &TeamId) -> Option<&Arc<KnownTeam>> {
        self.teams.get(id)
    }

    /// All teams, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KnownTeam>> {
        self.teams.values()
    }
}

/// Reads a teams file's text; touches nothing but the files of `file:` secrets.
///
/// # Errors
/// Every mistake of the file, in the order of its teams.
pub fn check(text: &str, options: &TeamsOptions) -> Result<Directory, Vec<Mistake>> {
    let notes = Notes::on(text);
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map(|span| notes.line(&span));
            notes.add(None, line, error.message().to_owned());
            return Err(notes.into_mistakes());
        }
    };
    let secrets = Secrets::Referred { environment: &*options.environment, folder: &options.folder };
    let teams = read_teams(table.get_ref(), &notes, &options.integration_role_name, &secrets);
    let clashes = overlap::clashes(&teams);
    drop(table);
    let mut mistakes = notes.into_mistakes();
    mistakes.extend(clashes);
    if mistakes.is_empty() {
        Ok(Directory { teams })
    } else {
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        Err(mistakes)
    }
}

/// Reads the record of `id` out of a text that holds nothing else.
///
/// # Errors
/// Every mistake, without its line.
pub(super) fn read_one(text: &str, id: &TeamId, role_name: &str, secrets: &Secrets<'_>) -> Result<Team, String> {
    let notes = Notes::on(text);
    let table = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let teams = read_teams(table.get_ref(), &notes, role_name, secrets);
    drop(table);
    let mistakes: Vec<String> = notes.into_mistakes().into_iter().map(|mistake| mistake.problem).collect();
    match teams.get(id) {
        Some(team) if mistakes.is_empty() => Ok(team.record.clone()),
        Some(_) | None => Err(mistakes.join("; ")),
    }
}

fn read_teams(
    table: &DeTable<'_>, notes: &Notes, role_name: &str, secrets: &Secrets<'_>,
) -> BTreeMap<TeamId, Arc<KnownTeam>> {
    let mut teams = BTreeMap::new();
    for (name, value) in table {
        let (team, line) = (name.get_ref().as_ref(), Some(notes.line(&name.span())));
        let id = TeamId::new(team);
        if let Err(bad) = &id {
            notes.add(Some(team), line, format!("the team's name {}", bad.problem));
        }
        let Some(table) = value.get_ref().as_table() else {
            notes.add(Some(team), line, "must be a table".to_owned());
            continue;
        };
        let section = Section::new(notes, team, String::new(), &name.span(), table);
        let record: Team = record::read(section, role_name, secrets);
        if let Ok(id) = id {
            teams.insert(id.clone(), Arc::new(KnownTeam { id, record }));
        }
    }
    teams
}
