//! Builds the one HTTP client that fetches, with everything off that would act behind our back: proxies, redirects, retries,
//! cookies, decompression, referrers.
//!
//! Answers are bounded by the client: 100 header fields, about 400 KiB of head in HTTP/1 and 32 KiB in HTTP/2, and 1 MiB of an
//! HTTP/2 body that nobody has read yet.

use std::sync::Arc;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;

use super::http_options::HttpOptions;
use super::resolve::CheckedNames;

const HEADER_FIELDS_MAX: usize = 100;
const HTTP2_HEAD_BYTES_MAX: u32 = 32 << 10;
const HTTP2_UNREAD_BYTES_MAX: u32 = 1 << 20;

/// The client could not be built: the machine's TLS set-up is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS library refuses its own defaults.
    #[error("the TLS library offers no usable protocol")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refuses its configuration.
    #[error("the HTTP client was not built")]
    Http(#[from] reqwest::Error),
}

/// Returns the certificates that the system trusts, or those of `SSL_CERT_FILE` where it is set. Reads files: once, at the
/// start. Certificates that cannot be read are left out.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Builds the client. Connections go only to addresses that `names` hands on; literal addresses are the caller's to check.
///
/// # Errors
/// [`ClientError`], which only another machine or build can change.
pub(super) fn build(
    options: &HttpOptions, names: CheckedNames, roots: RootCertStore,
) -> Result<reqwest::Client, ClientError> {
    let mut headers = HeaderMap::new();
    // The bytes as they are stored: a coding that comes all the same is undone with limits of our own.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    #[expect(clippy::disallowed_methods, reason = "this is the one place that builds clients, behind the guard")]
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(roots)?)
        .dns_resolver(names)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(options.idle_connections_per_host)
        .tcp_nodelay(true)
        .http1_max_headers(HEADER_FIELDS_MAX)
        .http2_max_header_list_size(HTTP2_HEAD_BYTES_MAX)
        .http2_initial_stream_window_size(HTTP2_UNREAD_BYTES_MAX)
        .build()?;
    Ok(client)
}

fn tls(roots: RootCertStore) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
