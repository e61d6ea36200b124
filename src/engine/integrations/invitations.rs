//! The ids that we make for a team when it is invited to grant us something: made once, and claimed for it.
//!
//! They are random, so that nobody guesses another's, and never taken from a customer, who could choose another's. Whoever asks
//! again gets the same ones.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::access::ClaimKind;
use crate::domain::id::TeamId;
use crate::domain::integration::invitation_key;
use crate::engine::claims::{ClaimAnswer, Claims};
use crate::ports::clock::Clock;
use crate::ports::store::{ObjectMeta, Store, StoreError};

/// A larger document is no invitation.
const INVITATION_BYTES_MAX: usize = 4096;

/// What was made for a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// For the trust policy of an AWS role.
    pub external_id: String,
    /// For the name of a Google service account: 12 letters and digits.
    pub uid: String,
    /// Comes back with the consent of an Azure tenant, and shows that it was asked for this team.
    pub consent_state: String,
    /// When.
    pub created_at: Timestamp,
}

/// The invitations in a store.
pub struct Invitations {
    /// Where they stand.
    pub store: Arc<dyn Store>,
    /// Whose ids are whose.
    pub claims: Claims,
    /// The time of day.
    pub clock: Clock,
}

impl Invitations {
    /// What was made for the team, now or before.
    ///
    /// # Errors
    /// [`StoreError`]; it may be made all the same, and the next call gives it.
    pub async fn of(&self, team: &TeamId) -> Result<Invitation, StoreError> {
        let key = invitation_key(team);
        let invitation = match self.read(team).await? {
            Some(invitation) => invitation,
            None => {
                let made = self.made();
                let content: Bytes = serde_json::to_vec(&made).expect("an invitation is plain text").into();
                let meta = ObjectMeta { media_type: "application/json", facts: None };
                self.store.put_if_absent(&key, content, meta).await?;
                // Somebody may have been quicker.
                let lost = || StoreError::Corrupt(format!("{key} was put and cannot be read"));
                self.read(team).await?.ok_or_else(lost)?
            }
        };
        for (kind, id) in [(ClaimKind::ExternalId, &invitation.external_id), (ClaimKind::Uid, &invitation.uid)] {
            match self.claims.claim(kind, id, team).await? {
                ClaimAnswer::Ours => {}
                ClaimAnswer::Other(other) => {
                    let kind = kind.as_str();
                    return Err(StoreError::Corrupt(format!(
                        "the {kind} that was made for {team} is claimed by {other}"
                    )));
                }
            }
        }
        Ok(invitation)
    }

    async fn read(&self, team: &TeamId) -> Result<Option<Invitation>, StoreError> {
        let key = invitation_key(team);
        let Some(content) = self.store.get(&key, INVITATION_BYTES_MAX).await? else {
            return Ok(None);
        };
        let broken = |error| StoreError::Corrupt(format!("{key} is no invitation: {error}"));
        serde_json::from_slice(&content).map(Some).map_err(broken)
    }

    fn made(&self) -> Invitation {
        let uid = Uuid::new_v4().simple().to_string();
        Invitation {
            external_id: Uuid::new_v4().to_string(),
            uid: uid[..12].to_owned(),
            consent_state: Uuid::new_v4().to_string(),
            created_at: self.clock.now(),
        }
    }
}
