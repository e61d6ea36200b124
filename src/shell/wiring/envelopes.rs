//! Makes what proves envelopes and fetches the bodies that pointers name.

use std::sync::Arc;
use std::time::Duration;

use super::sources::{bad_tls, http_options, s3_fetcher};
use crate::adapters::envelopes::{CertificateSource, Certificates, EnvelopeReader};
use crate::adapters::fetch::http::HttpFetcher;
use crate::adapters::fetch::{HttpOptions, system_roots};
use crate::ports::budget::Unlimited;
use crate::ports::clock::Clock;
use crate::ports::envelopes::Envelopes;
use crate::shell::config::Config;
use crate::shell::exit::Failure;

/// A certificate is a few kilobytes.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;
const CERTIFICATE_WITHIN: Duration = Duration::from_secs(15);

/// Makes what reads envelopes: pointers by `sources.s3`, certificates from SNS or the configured folder. Neither counts
/// against the limits of sources: they are no customer's.
///
/// # Errors
/// A machine whose TLS set-up cannot be used, or an `aws.region` that is none.
pub fn envelopes(config: &Config) -> Result<Arc<dyn Envelopes>, Failure> {
    let source = match &config.queue.sns_certificates {
        Some(folder) => CertificateSource::Folder(folder.clone()),
        None => CertificateSource::Sns { http: certificate_fetcher(config)?, roots: Arc::new(system_roots()) },
    };
    let s3 = s3_fetcher(config, Arc::new(Unlimited))?;
    Ok(Arc::new(EnvelopeReader::new(s3, Certificates::new(source), Clock::System)))
}

fn certificate_fetcher(config: &Config) -> Result<Arc<HttpFetcher>, Failure> {
    let options = HttpOptions {
        allow_plain: false,
        max_bytes: CERTIFICATE_BYTES_MAX,
        max_redirects: 0,
        idle_timeout: CERTIFICATE_WITHIN,
        total_timeout: CERTIFICATE_WITHIN,
        ..http_options(&config.sources.http)
    };
    Ok(Arc::new(HttpFetcher::new(options, Arc::new(Unlimited)).map_err(bad_tls)?))
}
