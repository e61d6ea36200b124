//! `longshore team`: who claimed what, whether grants are as they should be, and what a customer must set up.

mod check;
mod onboard;

use std::sync::Arc;

use super::args::TeamCommand;
use super::receipt::store_failure;
use super::{Context, output, team_id};
use crate::domain::id::TeamId;
use crate::domain::team::KnownTeam;
use crate::engine::claims::{Claim, ClaimKind, Claims};
use crate::ports::clock::Clock;
use crate::ports::teams::Lookup;
use crate::shell::config::Loaded;
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// Shows or moves claims.
pub(super) async fn run(command: TeamCommand, context: &Context) -> Outcome {
    match command {
        TeamCommand::Check(args) => check::run(args, context).await,
        TeamCommand::Onboard(args) => onboard::run(args, context).await,
        TeamCommand::Claims { team } => {
            let team = team.map(team_id).transpose()?;
            let claims = open(context).await?.list(team.as_ref()).await;
            show(&claims.map_err(|error| store_failure(&error))?, context)
        }
        TeamCommand::Claim { moved } => {
            let [kind, name, team] = <[String; 3]>::try_from(moved).expect("the command line takes exactly three");
            let kind = ClaimKind::parse(&kind).ok_or_else(|| no_kind(&kind))?;
            if let Some(expected) = kind.problem_of(&name) {
                return Err(Failure::bad_input(format!(
                    "--move {kind}: {name:?} must be {expected}",
                    kind = kind.as_str()
                )));
            }
            let team = team_id(team)?;
            known_team(&team, &context.load_quietly()?, "--move").await?;
            let claim = open(context).await?.move_to(kind, &name, &team).await;
            show(&[claim.map_err(|error| store_failure(&error))?], context)
        }
    }
}

/// The team's record: a claim of a team that is not there would lock everybody out.
async fn known_team(team: &TeamId, loaded: &Loaded, what: &str) -> Result<Arc<KnownTeam>, Failure> {
    match wiring::teams(loaded)?.team(team).await {
        Ok(Lookup::Known(known)) => Ok(known),
        Ok(Lookup::Unknown) => Err(Failure::bad_input(format!(
            "{what}: there is no team {team} in teams.source: add it there first, or correct the name"
        ))),
        Err(error) => Err(Failure::unreachable(format!("teams.source: {error}"))),
    }
}

fn no_kind(kind: &str) -> Failure {
    let kinds: Vec<&str> = ClaimKind::ALL.iter().map(|kind| kind.as_str()).collect();
    Failure::bad_input(format!("--move: {kind:?} is no kind of claim: write one of {}", kinds.join(", ")))
}

async fn open(context: &Context) -> Result<Claims, Failure> {
    let loaded = context.load_quietly()?;
    let opened = wiring::store_unproven(&loaded.config).await?;
    Ok(Claims::new(Arc::clone(&opened.store), Clock::System))
}

fn show(claims: &[Claim], context: &Context) -> Outcome {
    if context.json {
        claims.iter().try_for_each(output::json)?;
        return Ok(Exit::Done);
    }
    if claims.is_empty() {
        output::line("no claims")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 5]> = claims.iter().map(row).collect();
    output::table(["KIND", "NAME", "TEAM", "CLAIMED AT", "MOVED FROM"], &rows)?;
    Ok(Exit::Done)
}

fn row(claim: &Claim) -> [String; 5] {
    [
        claim.kind.as_str().to_owned(),
        output::plain(&claim.name),
        claim.team.to_string(),
        claim.claimed_at.to_string(),
        claim.moved_from.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}
