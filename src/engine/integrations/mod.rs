//! Checks of what teams granted: asked for by an operator, and by the worker itself every day.
//!
//! Only what is the team's own by its claims is tried. What was found stands in the store, where every replica reads it: a role
//! that was seen to let in whoever knows its name is not used ([`standing`]). [`recheck`] looks again from time to time.

pub mod invitations;
pub mod recheck;
pub mod standing;

use std::sync::Arc;

use bytes::Bytes;

use super::claims::{ClaimAnswer, Claims};
use crate::domain::access::{ClaimKind, Claimed};
use crate::domain::attachment_url::redacted;
use crate::domain::digest::Sha256;
use crate::domain::fault::AttachmentFault;
use crate::domain::id::TeamId;
use crate::domain::integration::{CheckName, CheckReport, Cloud, Finding, Verdict, report_key};
use crate::domain::plan::{Policy, Way};
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;
use crate::ports::clock::Clock;
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};
use crate::ports::integrations::{CheckAsked, IntegrationChecks};
use crate::ports::store::{Store, StoreError};

/// A larger document is no report.
const REPORT_BYTES_MAX: usize = 1 << 20;

/// What an operator wants to know besides.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Objects that should be readable.
    pub urls: Vec<String>,
    /// An origin whose pages should be let in.
    pub cors_origin: Option<String>,
}

/// Checks integrations and keeps what was found.
pub struct Integrations {
    /// Where reports stand.
    pub store: Arc<dyn Store>,
    /// Whose names are whose.
    pub claims: Claims,
    /// Opens the objects that were asked for.
    pub fetcher: Arc<dyn Fetcher>,
    /// One for each cloud that can be checked.
    pub checks: Vec<Arc<dyn IntegrationChecks>>,
    /// What the deployment allows.
    pub policy: Policy,
    /// The time of day.
    pub clock: Clock,
}

/// What is the team's own, and what was found instead of the rest.
#[derive(Default)]
struct Own {
    places: Vec<String>,
    refused: Vec<Finding>,
    /// Whether the integration's own names are the team's.
    is_ours: bool,
}

impl Integrations {
    /// Checks all that the team granted, and what is wished besides, and keeps what was found of each integration.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known.
    pub async fn check(&self, team: &Arc<KnownTeam>, wish: &Wish) -> Result<Vec<CheckReport>, StoreError> {
        let ways: Vec<(&String, Result<Way, AttachmentFault>)> =
            wish.urls.iter().map(|url| (url, Way::to(url, &team.record, &self.policy))).collect();
        let mut reports = Vec::new();
        for checks in &self.checks {
            if let Some(report) = self.check_cloud(team, checks.as_ref(), wish, &ways).await? {
                reports.push(report);
            }
        }
        for (url, way) in &ways {
            let cloud = way.as_ref().map_or(Cloud::Http, |way| way.grant.cloud());
            let finding = self.check_url(team, url, way).await?;
            match reports.iter_mut().find(|report| report.integration == cloud) {
                Some(report) => report.findings.push(finding),
                None => reports.push(self.report(team, cloud, vec![finding])),
            }
        }
        for report in reports.iter().filter(|report| team.record.grant_mark(report.integration).is_some()) {
            self.keep(&team.id, report).await?;
        }
        Ok(reports)
    }

    /// What was found of an integration last, if it was ever looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_report(&self, team: &TeamId, cloud: Cloud) -> Result<Option<CheckReport>, StoreError> {
        last_report(self.store.as_ref(), team, cloud).await
    }

    async fn check_cloud(
        &self, team: &Arc<KnownTeam>, checks: &dyn IntegrationChecks, wish: &Wish,
        ways: &[(&String, Result<Way, AttachmentFault>)],
    ) -> Result<Option<CheckReport>, StoreError> {
        let cloud = checks.cloud();
        if team.record.grant_mark(cloud).is_none() {
            return Ok(None);
        }
        let own = self.own(team, cloud).await?;
        let mut findings = own.refused;
        if own.is_ours {
            let objects = self.own_objects(team, cloud, ways).await?;
            let (places, cors_origin) = (own.places, wish.cors_origin.clone());
            let asked = CheckAsked { team: Arc::clone(team), places, objects, cors_origin };
            findings.extend(checks.check(&asked).await);
        }
        Ok(Some(self.report(team, cloud, findings)))
    }

    /// What may be tried in the team's name: what it has claimed, or claims now.
    async fn own(&self, team: &Arc<KnownTeam>, cloud: Cloud) -> Result<Own, StoreError> {
        let mut own = Own { is_ours: true, ..Own::default() };
        for claimed in team.record.names_of(cloud) {
            if !self.is_ours(&team.id, &claimed).await? {
                own.is_ours = false;
                own.refused.push(Finding::new(cloud.first_check(), Verdict::Bad, others(&claimed)));
            }
        }
        for claimed in team.record.places_of(cloud) {
            let place = claimed.name.strip_prefix("gs://").unwrap_or(&claimed.name).to_owned();
            // What no task may read is looked at by no check either: internal storage, or what the deployment switched off.
            if let Err(fault) = self.may_read(team, cloud, &place) {
                let message = format!("{}: {}", fault.code, fault.message);
                own.refused.push(Finding::about(cloud.place_check(), &place, Verdict::Bad, message));
                continue;
            }
            // A place must not become ours by a role that is not.
            if own.is_ours && self.is_ours(&team.id, &claimed).await? {
                own.places.push(place);
            } else if own.is_ours {
                own.refused.push(Finding::about(cloud.place_check(), &place, Verdict::Bad, others(&claimed)));
            }
        }
        Ok(own)
    }

    /// Whether a task of the team might name an object in this place.
    fn may_read(&self, team: &KnownTeam, cloud: Cloud, place: &str) -> Result<(), AttachmentFault> {
        let object = match cloud {
            Cloud::Aws => format!("s3://{place}/x"),
            Cloud::Gcp => format!("gs://{place}/x"),
            Cloud::Azure | Cloud::Http => return Ok(()),
        };
        Way::to(&object, &team.record, &self.policy).map(|_| ())
    }

    async fn is_ours(&self, team: &TeamId, claimed: &Claimed) -> Result<bool, StoreError> {
        match self.claims.claim(claimed.kind, &claimed.name, team).await? {
            ClaimAnswer::Ours => Ok(true),
            ClaimAnswer::Other(_) => Ok(false),
        }
    }

    /// The wished objects that are read on this cloud with what is the team's own.
    async fn own_objects(
        &self, team: &Arc<KnownTeam>, cloud: Cloud, ways: &[(&String, Result<Way, AttachmentFault>)],
    ) -> Result<Vec<Source>, StoreError> {
        let mut objects = Vec::new();
        for way in ways.iter().filter_map(|(_, way)| way.as_ref().ok()).filter(|way| way.grant.cloud() == cloud) {
            if self.refusal(team, way).await?.is_none() {
                objects.push(way.source.clone());
            }
        }
        Ok(objects)
    }

    async fn check_url(
        &self, team: &Arc<KnownTeam>, url: &str, way: &Result<Way, AttachmentFault>,
    ) -> Result<Finding, StoreError> {
        let subject = redacted(url);
        let found = |verdict, message: String| Finding::about(CheckName::ObjectReadable, &subject, verdict, message);
        let way = match way {
            Ok(way) => way,
            Err(fault) => return Ok(found(Verdict::Bad, format!("{}: {}", fault.code, fault.message))),
        };
        if let Some(message) = self.refusal(team, way).await? {
            return Ok(found(Verdict::Bad, message));
        }
        let request = FetchRequest {
            team: Arc::clone(team),
            source: way.source.clone(),
            grant: way.grant.clone(),
            want: Want::Body,
        };
        Ok(match self.fetcher.open(request).await {
            Ok(fetched) => {
                let size = fetched.length.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
                found(Verdict::Good, format!("can be read{size}"))
            }
            Err(fault) => {
                let verdict = if fault.code.is_transient() { Verdict::Unproven } else { Verdict::Bad };
                found(verdict, format!("{}: {}", fault.code, fault.message))
            }
        })
    }

    /// Why a source is not read for this team, if what it needs belongs to another.
    async fn refusal(&self, team: &Arc<KnownTeam>, way: &Way) -> Result<Option<String>, StoreError> {
        for claimed in way.grant.claims(&way.source) {
            if !self.is_ours(&team.id, &claimed).await? {
                return Ok(Some(format!("{}: {}", claimed.refusal, others(&claimed))));
            }
        }
        Ok(None)
    }

    fn report(&self, team: &Arc<KnownTeam>, cloud: Cloud, findings: Vec<Finding>) -> CheckReport {
        let grant = team.record.grant_mark(cloud).unwrap_or_else(|| Sha256::of(b"none"));
        CheckReport { integration: cloud, grant, checked_at: self.clock.now(), findings }
    }

    async fn keep(&self, team: &TeamId, report: &CheckReport) -> Result<(), StoreError> {
        let content: Bytes = serde_json::to_vec(report).expect("a report is plain text").into();
        self.store.overwrite(&report_key(team, report.integration), content).await
    }
}

/// What was found of an integration last, if it was ever looked at. A document that is no report counts as none: the next
/// check writes a good one.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn last_report(
    store: &dyn Store, team: &TeamId, cloud: Cloud,
) -> Result<Option<CheckReport>, StoreError> {
    let content = store.get(&report_key(team, cloud), REPORT_BYTES_MAX).await?;
    Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
}

fn others(claimed: &Claimed) -> String {
    let (kind, name) = (claimed.kind.as_str(), &claimed.name);
    let shown = match claimed.kind {
        // The id of another team is nothing to show.
        ClaimKind::ExternalId => kind.to_owned(),
        _ => format!("{kind} {name}"),
    };
    format!("{shown} belongs to another team here; `longshore team claims` tells whose, `team claim --move` moves it")
}
