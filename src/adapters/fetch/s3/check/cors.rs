//! Asks as a browser would whether a page of an origin may read an object by a presigned URL.

use reqwest::Method;
use reqwest::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN};

use crate::adapters::fetch::answer;
use crate::adapters::fetch::s3::S3Fetcher;
use crate::adapters::fetch::s3::address::Target;
use crate::adapters::fetch::s3::ask::Asked;
use crate::adapters::fetch::s3::sign::Signing;
use crate::domain::fault::AttachmentFault;
use crate::domain::integration::{CheckName, Finding, Verdict};
use crate::ports::clock::Clock;

/// How long the URL is good.
const SECONDS: u32 = 60;

/// What a browser would be told.
enum Preflight {
    Allowed,
    Refused,
    Unclear(String),
}

impl S3Fetcher {
    /// Checks the rules of a bucket for an origin.
    pub(super) async fn check_cors(&self, asked: &Asked, origin: &str) -> Finding {
        let bucket = &asked.bucket;
        let found = self.preflight(asked, origin).await.unwrap_or_else(|fault| Preflight::Unclear(fault.message));
        let (verdict, message) = match found {
            Preflight::Allowed => (Verdict::Good, format!("pages of {origin} may read bucket {bucket}")),
            Preflight::Refused => {
                let message = format!(
                    "pages of {origin} may not read bucket {bucket}: add a CORS rule with AllowedOrigins [\"{origin}\"] and \
                     AllowedMethods [\"GET\", \"HEAD\"]"
                );
                (Verdict::Bad, message)
            }
            Preflight::Unclear(why) => (Verdict::Unproven, format!("the pre-flight request showed nothing: {why}")),
        };
        Finding::about(CheckName::Cors, bucket, verdict, message)
    }

    async fn preflight(&self, asked: &Asked, origin: &str) -> Result<Preflight, AttachmentFault> {
        let way = self.way_to_bucket(asked).await?;
        if !asked.allows(&way.region) {
            return Ok(Preflight::Unclear("the bucket's region is not one of the team's".to_owned()));
        }
        let target = Target { bucket: &asked.bucket, key: Some(&asked.key), query: &[] };
        let located = self.addressing.locate(&way.region, target)?;
        let region = way.region.as_str();
        let signing = Signing { method: "GET", located: &located, region, at: Clock::System.now(), keys: &way.keys };
        let url = signing.presigned(SECONDS);
        let Ok(value) = HeaderValue::from_str(origin) else {
            return Ok(Preflight::Unclear(format!("{origin:?} is no origin")));
        };
        let mut fields = HeaderMap::new();
        fields.insert(ORIGIN, value);
        fields.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
        self.wire.budget.request(&asked.team, &asked.place).await;
        let answer = self.wire.send(Method::OPTIONS, &url, fields).await?;
        let said = |name: &'static str| answer::text(answer.headers(), name).unwrap_or_default();
        let origins = said("access-control-allow-origin");
        let methods = said("access-control-allow-methods");
        let is_listed = methods.split(',').any(|method| method.trim().eq_ignore_ascii_case("GET"));
        Ok(match answer.status().as_u16() {
            200 | 204 if (origins == "*" || origins == origin) && is_listed => Preflight::Allowed,
            200 | 204 | 403 => Preflight::Refused,
            status => Preflight::Unclear(format!("it answered {status}")),
        })
    }
}
