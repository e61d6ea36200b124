//! One request over HTTP or TLS, as a customer or a test's own judge sends it: nothing of ours is in the way.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::bed;

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case; those of the framing are left out.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// The certificate authority of the test bed.
pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(bed::ca_pem_path()).unwrap()).unwrap();
    roots
}

/// Sends one request and reads its answer to the end.
pub(crate) async fn call(base: &str, method: &str, target: &str, fields: &[(String, String)], body: &[u8]) -> Answer {
    let base = Url::parse(base).unwrap();
    let (host, port) = (base.host_str().unwrap(), base.port().unwrap());
    let stream = TcpStream::connect((host, port)).await.unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || matches!(method, "PUT" | "POST") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let request = [head.as_bytes(), b"\r\n", body].concat();
    let answer = match base.scheme() {
        "https" => exchange(over_tls(stream, host).await, &request).await,
        _ => exchange(stream, &request).await,
    };
    parsed(&answer)
}

async fn over_tls(stream: TcpStream, host: &str) -> impl AsyncRead + AsyncWrite + Unpin {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // A TLS server may close without saying so; what counts is what came.
    let _end = stream.read_to_end(&mut answer).await;
    answer
}

fn parsed(answer: &[u8]) -> Answer {
    let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the answer has a head");
    let head = String::from_utf8_lossy(&answer[..at]);
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = fields.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    fields.retain(|(name, _)| !matches!(name.as_str(), "transfer-encoding" | "connection" | "keep-alive"));
    let body = if is_chunked { unchunked(&answer[at + 4..]) } else { answer[at + 4..].to_vec() };
    Answer { status, fields, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let at = rest.windows(2).position(|bytes| bytes == b"\r\n").expect("a chunk has a size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 2 + size + 2..];
    }
}
