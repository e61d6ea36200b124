//! The one HTTP client that fetches, with nothing in it that would act behind our back: no proxies of the environment, no
//! redirects, retries, cookies, decompression or referrers.
//!
//! Answers are bounded by the client: 100 header fields, about 400 KiB of head in HTTP/1 and 32 KiB in HTTP/2, and 1 MiB of an
//! HTTP/2 body that nobody has read yet. How connections are made is [`super::connect`]'s: requests only name hosts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Body, Method, Response, ResponseBuilderExt};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use tokio_rustls::TlsConnector;
use url::Url;

use super::connect::{Connector, Within};
use super::http_options::HttpOptions;
use super::resolve::CheckedNames;
use super::trouble;
use super::user_info::UserInfo;
use super::way_out::{Through, WayOut};
use super::wire::host;
use crate::domain::fault::{AttachmentFault, Code};

const HEADER_FIELDS_MAX: usize = 100;
const HTTP2_HEAD_BYTES_MAX: u32 = 32 << 10;
const HTTP2_UNREAD_BYTES_MAX: u32 = 1 << 20;
/// Connections that nobody uses are closed after this time, before most servers do.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// The client could not be built: the machine's TLS set-up is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS library refuses its own defaults.
    #[error("the TLS library offers no usable protocol")]
    Tls(#[from] rustls::Error),
}

/// Returns the certificates that the system trusts, or those of `SSL_CERT_FILE` where it is set. Reads files: once, at the
/// start. Certificates that cannot be read are left out.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Sends requests and hands on their answers.
pub(super) struct Client {
    inner: legacy::Client<Within<HttpsConnector<Connector>>, Body>,
    /// What goes with every request that does not say otherwise.
    fields: HeaderMap,
}

impl Client {
    /// Builds the client. Connections go only to addresses that `names` lets through.
    ///
    /// # Errors
    /// [`ClientError`], which only another machine or build can change.
    pub(super) fn new(options: &HttpOptions, names: CheckedNames, roots: RootCertStore) -> Result<Self, ClientError> {
        let tls = tls(roots)?;
        let within = options.connect_timeout;
        let connector = match &options.way_out {
            WayOut::Direct => Connector::direct(names, None, within),
            WayOut::From(local) => Connector::direct(names, Some(*local), within),
            WayOut::Proxy(proxy) => {
                let mut to_proxy = tls.clone();
                to_proxy.alpn_protocols.clear();
                let through = Through {
                    proxy: proxy.clone(),
                    names: names.unchecked(),
                    tls: TlsConnector::from(Arc::new(to_proxy)),
                    // The proxy is ours and near; what it then waits for is the source.
                    within: within / 2,
                };
                Connector::through(names, through)
            }
        };
        let connector = Within { inner: HttpsConnector::from((connector, tls)), time: within };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that builds clients, behind the guard")]
        let inner = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(options.idle_connections_per_host)
            .http1_max_headers(HEADER_FIELDS_MAX)
            .http2_max_header_list_size(HTTP2_HEAD_BYTES_MAX)
            .http2_initial_stream_window_size(HTTP2_UNREAD_BYTES_MAX)
            .build(connector);
        let fields = [
            (ACCEPT, "*/*"),
            // The bytes as they are stored: a coding that comes all the same is undone with limits of our own.
            (ACCEPT_ENCODING, "identity"),
            (USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION"))),
        ];
        let fields = fields.map(|(name, text)| (name, HeaderValue::from_static(text)));
        Ok(Self { inner, fields: HeaderMap::from_iter(fields) })
    }

    /// Sends one request and returns its answer, whatever its status. Of the URL, its user-info becomes Basic authorization
    /// unless `fields` has another, and its fragment stays here.
    ///
    /// # Errors
    /// The fault of a request that was not sent, or got no answer.
    pub(super) async fn send(
        &self, method: Method, url: &Url, fields: HeaderMap, body: Bytes,
    ) -> Result<Response, AttachmentFault> {
        let mut request = http::Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri_of(url)?;
        *request.headers_mut() = self.all_fields(url, fields);
        let answered = self.inner.request(request).await;
        let answered = answered.map_err(|error| trouble::of_request(&error, host(url)))?;
        let (parts, body) = answered.into_parts();
        let named = http::Response::builder().url(url.clone()).body(Body::wrap(body));
        let mut response = named.expect("nothing was set that could be wrong");
        *response.status_mut() = parts.status;
        *response.version_mut() = parts.version;
        *response.headers_mut() = parts.headers;
        response.extensions_mut().extend(parts.extensions);
        Ok(response.into())
    }

    fn all_fields(&self, url: &Url, mut fields: HeaderMap) -> HeaderMap {
        for (name, value) in &self.fields {
            fields.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(user_info) = UserInfo::of(url) {
            fields.entry(AUTHORIZATION).or_insert_with(|| user_info.basic());
        }
        fields
    }
}

/// The URL as a request names it.
fn uri_of(url: &Url) -> Result<Uri, AttachmentFault> {
    let mut bare = url.clone();
    // Both setters refuse only URLs without a host, which are refused before.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_fragment(None);
    bare.as_str()
        .parse()
        .map_err(|_| AttachmentFault::new(Code::BadUrl, format!("{}: the URL cannot be sent", host(url))))
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
