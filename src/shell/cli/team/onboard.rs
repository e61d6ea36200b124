//! `longshore team onboard`: prints what a customer must set up.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::domain::id::TeamId;
use crate::domain::onboarding::aws::{AwsInvitation, principal_of};
use crate::domain::onboarding::azure::AzureInvitation;
use crate::domain::onboarding::gcp::GcpInvitation;
use crate::domain::team::Team;
use crate::engine::claims::Claims;
use crate::engine::integrations::invitations::{Invitation, Invitations};
use crate::ports::clock::Clock;
use crate::ports::credentials::AwsRoles;
use crate::ports::teams::Lookup;
use crate::shell::cli::args::{OnboardArgs, OnboardCloud, OnboardFormat};
use crate::shell::cli::receipt::store_failure;
use crate::shell::cli::{Context, output, team_id};
use crate::shell::config::{Loaded, process_environment};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// Prints what a customer must set up for a team, which need not be in the directory yet.
pub(super) async fn run(args: OnboardArgs, context: &Context) -> Outcome {
    if args.cloud != OnboardCloud::Aws && args.format != OnboardFormat::Text {
        let line = "--format: only --cloud aws has other formats than text";
        return Err(Failure::new(Exit::Usage, line));
    }
    let loaded = context.load_quietly()?;
    let team = team_id(args.team.clone())?;
    let record = record(&team, &loaded).await?;
    match args.cloud {
        OnboardCloud::Aws => {
            let invitation = aws(&team, &record, &loaded).await?;
            match args.format {
                OnboardFormat::Text => print(&invitation, "text", invitation.text(), context)?,
                OnboardFormat::Cloudformation => output::pretty(&invitation.cloudformation())?,
                OnboardFormat::Terraform => print(&invitation, "terraform", invitation.terraform(), context)?,
                OnboardFormat::Policy => output::pretty(&invitation.policies())?,
            }
        }
        OnboardCloud::Gcp => {
            let invitation = gcp(&team, &record, &loaded).await?;
            print(&invitation, "text", invitation.text(), context)?;
        }
        OnboardCloud::Azure => {
            let invitation = azure(&team, &record, &loaded, args.redirect_uri).await?;
            print(&invitation, "text", invitation.text(), context)?;
        }
    }
    Ok(Exit::Done)
}

/// Prints instructions as they are, or, as JSON, what they are made of with themselves beside it.
fn print(invitation: &impl Serialize, form: &str, instructions: String, context: &Context) -> Result<(), Failure> {
    if !context.json {
        return output::line(instructions);
    }
    let mut told = serde_json::to_value(invitation).expect("an invitation is JSON");
    told[form] = Value::String(instructions);
    output::json(&told)
}

/// The team's record as it is now; a team that nobody knows yet has an empty one.
async fn record(team: &TeamId, loaded: &Loaded) -> Result<Team, Failure> {
    match wiring::teams(loaded)?.team(team).await {
        Ok(Lookup::Known(known)) => Ok(known.record.clone()),
        Ok(Lookup::Unknown) => Ok(Team::default()),
        Err(error) => Err(Failure::unreachable(format!("teams.source: {error}"))),
    }
}

/// The ids that were made for the team, now or before.
async fn invitation(team: &TeamId, loaded: &Loaded) -> Result<Invitation, Failure> {
    let opened = wiring::store_unproven(&loaded.config).await?;
    let claims = Claims::new(Arc::clone(&opened.store), Clock::System);
    let invitations = Invitations { store: Arc::clone(&opened.store), claims, clock: Clock::System };
    invitations.of(team).await.map_err(|error| store_failure(&error))
}

async fn aws(team: &TeamId, record: &Team, loaded: &Loaded) -> Result<AwsInvitation, Failure> {
    let unknown = |error: String| Failure::unreachable(format!("aws: who this deployment is cannot be told: {error}"));
    let identities = wiring::aws_identities(&loaded.config).await.map_err(unknown)?;
    let caller = identities.caller().await.map_err(|fault| unknown(fault.message))?;
    let grant = record.aws.clone().unwrap_or_default();
    let external_id = match grant.external_id {
        Some(id) => id,
        None => invitation(team, loaded).await?.external_id,
    };
    Ok(AwsInvitation {
        team: team.to_string(),
        principal: principal_of(&caller.arn),
        external_id,
        role_name: loaded.config.aws.integration_role_name.clone(),
        buckets: grant.buckets,
    })
}

async fn gcp(team: &TeamId, record: &Team, loaded: &Loaded) -> Result<GcpInvitation, Failure> {
    // First, since what is made for a team stays made.
    let service_account = own_service_account()?;
    let grant = record.gcp.clone().unwrap_or_default();
    let uid = match grant.uid {
        Some(uid) => uid,
        None => invitation(team, loaded).await?.uid,
    };
    Ok(GcpInvitation { team: team.to_string(), service_account, uid, buckets: grant.buckets })
}

/// Our own service account's address, from the key file of the application default credentials.
fn own_service_account() -> Result<String, Failure> {
    const NAME: &str = "GOOGLE_APPLICATION_CREDENTIALS";
    let path = process_environment().find(|(name, _)| name == NAME).map(|(_, path)| path);
    let unknown = |why: &str| {
        let line = format!("{NAME}: {why}: set it to the key file of this deployment's own service account");
        Failure::bad_input(line)
    };
    let text = std::fs::read_to_string(path.ok_or_else(|| unknown("is not set"))?);
    let key: Value =
        text.ok().and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| unknown("is no key file"))?;
    let address = key["client_email"].as_str().map(str::to_owned).or_else(|| impersonated(&key));
    address.ok_or_else(|| unknown("names no service account"))
}

/// The service account that a federated identity acts as: it stands in the URL by which tokens for it are asked.
fn impersonated(key: &Value) -> Option<String> {
    let url = key["service_account_impersonation_url"].as_str()?;
    let (_, account) = url.rsplit_once("/serviceAccounts/")?;
    account.split(':').next().map(str::to_owned)
}

async fn azure(
    team: &TeamId, record: &Team, loaded: &Loaded, redirect_uri: Option<String>,
) -> Result<AzureInvitation, Failure> {
    let azure = &loaded.config.azure;
    let missing =
        || Failure::bad_input("azure.client_id: is missing: it names the application that tenants consent to");
    let client_id = azure.client_id.clone().ok_or_else(missing)?;
    let state = invitation(team, loaded).await?.consent_state;
    let grant = record.azure.clone();
    Ok(AzureInvitation {
        team: team.to_string(),
        authority: azure.authority_url.expose().clone(),
        client_id,
        tenant_id: grant.as_ref().map(|grant| grant.tenant_id.clone()),
        state: format!("{team}.{state}"),
        redirect_uri,
        accounts: grant.map(|grant| grant.accounts).unwrap_or_default(),
    })
}
