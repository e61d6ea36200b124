//! Where certificates of SNS come from: SNS itself, or a folder in its stand-ins' case; and how long they are kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use moka::future::Cache;
use rustls::RootCertStore;
use url::Url;

use super::certificate::Certificate;
use crate::domain::access::Grant;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::message::Notification;
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;
use crate::ports::envelopes::EnvelopeError;
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};

/// A longer file is no certificate.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Certificates that are kept: SNS signs with one or two a region at a time.
const KEPT_MAX: u64 = 64;
/// How long a fetched certificate is kept. Its URL names it for good; that it has not ended is looked at each time.
const KEEP_FETCHED: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a file is kept: somebody may put another one there.
const KEEP_FILE: Duration = Duration::from_secs(5);

/// Where certificates come from.
pub enum CertificateSource {
    /// SNS itself, asked through this fetcher.
    Sns {
        /// Fetches them.
        http: Arc<dyn Fetcher>,
        /// What the system trusts.
        roots: Arc<RootCertStore>,
    },
    /// A folder, by file name; nothing is ever fetched.
    Folder(PathBuf),
}

/// The certificates that notifications name.
pub struct Certificates {
    source: CertificateSource,
    kept: Cache<String, Arc<Certificate>>,
}

impl Certificates {
    /// Certificates from `source`; asks for none yet.
    #[must_use]
    pub fn new(source: CertificateSource) -> Self {
        let keep = match source {
            CertificateSource::Sns { .. } => KEEP_FETCHED,
            CertificateSource::Folder(_) => KEEP_FILE,
        };
        Self { source, kept: Cache::builder().max_capacity(KEPT_MAX).time_to_live(keep).build() }
    }

    /// The certificate that a notification names. Several who ask for one at a time share one look.
    pub(super) async fn of(&self, notification: &Notification) -> Result<Arc<Certificate>, EnvelopeError> {
        let refused = EnvelopeError::Refused;
        let found = match &self.source {
            CertificateSource::Sns { http, roots } => {
                let url = notification.certificate_url().map_err(refused)?;
                let fetch = async {
                    let pem = fetched(http.as_ref(), url.clone()).await?;
                    Certificate::of_sns(&pem, Arc::clone(roots)).map(Arc::new).map_err(refused)
                };
                self.kept.try_get_with(url.to_string(), fetch).await
            }
            CertificateSource::Folder(folder) => {
                let file = notification.certificate_file().map_err(refused)?;
                let read = async {
                    let pem = read(folder, file).await?;
                    Certificate::of_folder(&pem).map(Arc::new).map_err(refused)
                };
                self.kept.try_get_with(file.to_owned(), read).await
            }
        };
        found.map_err(|error| EnvelopeError::clone(&error))
    }
}

async fn read(folder: &Path, file: &str) -> Result<Vec<u8>, EnvelopeError> {
    let too_large = || EnvelopeError::Refused(format!("{file} in queue.sns_certificates is no certificate"));
    let path = folder.join(file);
    match tokio::fs::metadata(&path).await {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX as u64 => return Err(too_large()),
        Ok(_) => {}
        Err(error) => return Err(unread(file, &error)),
    }
    tokio::fs::read(&path).await.map_err(|error| unread(file, &error))
}

fn unread(file: &str, error: &io::Error) -> EnvelopeError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            EnvelopeError::Refused(format!("the SNS envelope's certificate {file} is not in queue.sns_certificates"))
        }
        // A foreign enum: whatever else it is, the message is not to blame.
        _ => EnvelopeError::Away(format!("{file} in queue.sns_certificates cannot be read: {error}")),
    }
}

async fn fetched(http: &dyn Fetcher, url: Url) -> Result<Vec<u8>, EnvelopeError> {
    let request = FetchRequest {
        team: Arc::new(KnownTeam::ourselves()),
        source: Source::Http(url),
        grant: Grant::None,
        want: Want::Body,
    };
    let mut fetched = http.open(request).await.map_err(|fault| refusal(&fault))?;
    let mut pem = Vec::new();
    while let Some(piece) = fetched.body.next().await {
        pem.extend_from_slice(&piece.map_err(|fault| refusal(&fault))?);
        if pem.len() > FILE_BYTES_MAX {
            return Err(EnvelopeError::Refused("the SNS envelope's SigningCertURL holds no certificate".to_owned()));
        }
    }
    Ok(pem)
}

/// That SNS answers and has no such certificate is the message's fault; that it is not reached, or somebody else answers, is not.
fn refusal(fault: &AttachmentFault) -> EnvelopeError {
    match fault.code {
        Code::NotFound | Code::AccessDenied | Code::HttpStatus | Code::TooLarge | Code::TooManyRedirects => {
            EnvelopeError::Refused(format!("the SNS envelope's certificate cannot be had: {fault}"))
        }
        _ => EnvelopeError::Away(format!("the certificate of an SNS envelope: {fault}")),
    }
}

#[cfg(all(test, feature = "testing"))]
#[path = "tests/certificates.rs"]
mod tests;
