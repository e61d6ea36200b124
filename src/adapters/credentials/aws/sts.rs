//! Assumes roles at STS: one request, on the region's own endpoint, with the worker's own identity.
//!
//! Nothing is retried here. A refusal carries STS's code and request id, since they are what a customer's administrator asks
//! for; STS's words stay out, since they name our identity to whoever reads a completion.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{IdentityCache, SharedCredentialsProvider, StalledStreamProtectionConfig};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use jiff::Timestamp;

use super::AwsOptions;
use super::own::{Own, OwnProvider};
use super::role::{Assume, Wanted};
use crate::adapters::credentials::kept::Fresh;
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::clock::Clock;
use crate::ports::credentials::{AwsCaller, AwsKeys};

/// How long a session lasts. More would fail where the worker runs with a role of its own: chained sessions end after an hour.
const SESSION_SECS: i32 = 3600;
/// Sessions shorter than this are not asked for, so that a clock that runs ahead does not make us ask without end.
const LIFE_MIN: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);

type Failure = SdkError<AssumeRoleError>;

/// Reads the AWS environment and profile files, for the region and the chain that finds the worker's own identity.
pub(super) async fn environment(options: &AwsOptions) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    let loader = match options.region.as_str() {
        "" => loader,
        region => loader.region(Region::new(region.to_owned())),
    };
    loader.load().await
}

/// STS.
pub(super) struct Sts {
    client: aws_sdk_sts::Client,
    own: Arc<Own>,
}

impl Sts {
    pub(super) fn new(config: &SdkConfig, options: &AwsOptions, own: Arc<Own>) -> Self {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(TIMEOUT);
        let region = config.region().cloned().unwrap_or_else(|| Region::from_static("us-east-1"));
        let mut builder = aws_sdk_sts::config::Builder::from(config)
            .region(region)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // The keys are kept by us: two memories would hold on to ended ones twice as long.
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(SharedCredentialsProvider::new(OwnProvider(Arc::clone(&own))));
        if let Some(endpoint) = &options.sts_endpoint_url {
            builder = builder.endpoint_url(endpoint);
        }
        let client = aws_sdk_sts::Client::from_conf(builder.build());
        Self { client, own }
    }

    async fn judge(&self, own: &AwsKeys, failure: &Failure) -> AttachmentFault {
        let Some(response) = failure.raw_response() else {
            return without_answer(failure);
        };
        let status = response.status().as_u16();
        let code = failure.code().unwrap_or_default();
        let mut fault = match meaning(status, code) {
            Meaning::Other(code, words) => AttachmentFault::new(code, words),
            Meaning::OwnIdentity => {
                // Other keys may be in the environment's files or at the machine's agent by now.
                self.own.drop_if(own).await;
                self.own.say_missing(&format!("STS answered {status} {code}"))
            }
        };
        fault.http_status = Some(status);
        fault.provider_code = (!code.is_empty()).then(|| code.to_owned());
        fault.request_id = failure.request_id().map(str::to_owned);
        fault
    }
}

#[async_trait]
impl Assume for Sts {
    async fn assume(&self, wanted: &Wanted<'_>) -> Result<Fresh<AwsKeys>, AttachmentFault> {
        // Asked for first, so that their absence is told from the role's refusal.
        let own = self.own.keys().await?;
        let answer = self
            .client
            .assume_role()
            .role_arn(wanted.role_arn)
            .set_external_id(wanted.external_id.map(str::to_owned))
            .role_session_name(&wanted.session_name)
            .policy(&wanted.policy)
            .duration_seconds(SESSION_SECS)
            .send()
            .await;
        match answer {
            Ok(answer) => fresh(&answer),
            Err(failure) => Err(self.judge(&own, &failure).await),
        }
    }

    async fn caller(&self) -> Result<AwsCaller, AttachmentFault> {
        self.own.keys().await?;
        let unknown =
            |words: &str| AttachmentFault::new(Code::Unavailable, format!("STS does not say who we are: {words}"));
        let answer = self.client.get_caller_identity().send().await;
        let answer = answer.map_err(|failure| match failure.code() {
            Some(code) => unknown(code),
            None => unknown("it was not reached"),
        })?;
        let arn = answer.arn().ok_or_else(|| unknown("it names nobody"))?.to_owned();
        Ok(AwsCaller { arn })
    }
}

fn fresh(answer: &AssumeRoleOutput) -> Result<Fresh<AwsKeys>, AttachmentFault> {
    let none = || AttachmentFault::new(Code::Unavailable, "STS answered without keys");
    let given = answer.credentials().ok_or_else(none)?;
    let keys = AwsKeys {
        access_key_id: given.access_key_id().to_owned(),
        secret_access_key: given.secret_access_key().into(),
        session_token: Some(given.session_token().into()),
    };
    let ends_at = Timestamp::from_second(given.expiration().secs()).unwrap_or(Timestamp::MAX);
    let left = ends_at.duration_since(Clock::System.now());
    let asked = Duration::from_secs(SESSION_SECS.unsigned_abs().into());
    let life = Duration::try_from(left).unwrap_or_default().clamp(LIFE_MIN, asked);
    Ok(Fresh { keys, life })
}

fn without_answer(failure: &Failure) -> AttachmentFault {
    let is_slow = matches!(failure, SdkError::TimeoutError(_))
        || matches!(failure, SdkError::DispatchFailure(failure) if failure.is_timeout());
    let words = if is_slow { "STS took too long" } else { "STS was not reached" };
    AttachmentFault::new(Code::Unavailable, words)
}

/// What a code of STS's means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The worker's own keys are the matter.
    OwnIdentity,
    /// Something else, and what it says to a person.
    Other(Code, &'static str),
}

/// Codes are those of "Common errors" and of `AssumeRole` in the STS API reference.
fn meaning(status: u16, code: &str) -> Meaning {
    let (code, words) = match code {
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "RequestExpired"
        | "OptInRequired" => return Meaning::OwnIdentity,
        "MalformedPolicyDocument" | "PackedPolicyTooLarge" => (Code::Internal, "STS does not take our session policy"),
        "RegionDisabledException" => {
            (Code::IntegrationBroken, "the role's account has switched STS off in the worker's region")
        }
        "IDPCommunicationError" => (Code::Unavailable, "STS had a fault of its own"),
        code if is_throttling(code) => (Code::Throttled, "STS throttles us"),
        _ if status == 429 => (Code::Throttled, "STS throttles us"),
        _ if status >= 500 => (Code::Unavailable, "STS had a fault of its own"),
        _ => (
            Code::IntegrationBroken,
            "the team's role cannot be assumed: its trust policy must name our identity and the team's external id",
        ),
    };
    Meaning::Other(code, words)
}

fn is_throttling(code: &str) -> bool {
    code.starts_with("Throttling")
        || matches!(code, "RequestLimitExceeded" | "TooManyRequestsException" | "SlowDown" | "RequestThrottled")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions of the endpoint without a region are good only in regions that need no opt-in; see "Manage AWS STS in an AWS
    /// Region" in the IAM user guide.
    #[tokio::test]
    async fn each_regions_own_sts_is_asked_whose_sessions_are_good_in_regions_that_need_opting_in() {
        use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

        for (region, host) in [
            ("us-east-1", "https://sts.us-east-1.amazonaws.com"),
            ("eu-south-2", "https://sts.eu-south-2.amazonaws.com"),
            ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
        ] {
            let options = AwsOptions { region: region.to_owned(), ..AwsOptions::default() };
            let sts = Sts::new(&environment(&options).await, &options, Arc::new(Own::new(None)));
            assert_eq!(sts.client.config().region().map(AsRef::as_ref), Some(region));
            let params = Params::builder().region(region).build().unwrap();
            let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.unwrap();
            assert_eq!(endpoint.url(), host);
        }
    }

    #[test]
    fn refusals_are_told_from_troubles() {
        for (status, code, expected) in [
            (403, "AccessDenied", Code::IntegrationBroken),
            (400, "ValidationError", Code::IntegrationBroken),
            (403, "RegionDisabledException", Code::IntegrationBroken),
            (400, "Throttling", Code::Throttled),
            (429, "", Code::Throttled),
            (503, "ServiceUnavailable", Code::Unavailable),
            (400, "IDPCommunicationError", Code::Unavailable),
            (400, "PackedPolicyTooLarge", Code::Internal),
        ] {
            let found = meaning(status, code);
            assert!(matches!(found, Meaning::Other(found, _) if found == expected), "{status} {code}");
        }
        for code in ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch"] {
            assert_eq!(meaning(403, code), Meaning::OwnIdentity, "{code}");
        }
    }
}
