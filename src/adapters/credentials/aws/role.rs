//! What is asked of whoever hands out a role's keys.

use async_trait::async_trait;

use crate::adapters::credentials::kept::Fresh;
use crate::domain::fault::AttachmentFault;
use crate::ports::credentials::{AwsCaller, AwsKeys};

/// A role to assume.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) role_arn: &'a str,
    pub(super) external_id: Option<&'a str>,
    pub(super) session_name: String,
    pub(super) policy: String,
}

/// Hands out a role's keys.
#[async_trait]
pub(super) trait Assume: Send + Sync + 'static {
    /// Assumes the role anew.
    ///
    /// # Errors
    /// `integration_broken` where the role refuses us; what passes for the rest.
    async fn assume(&self, wanted: &Wanted<'_>) -> Result<Fresh<AwsKeys>, AttachmentFault>;

    /// Who the worker itself is.
    ///
    /// # Errors
    /// `unavailable` while nobody can say.
    async fn caller(&self) -> Result<AwsCaller, AttachmentFault>;
}
