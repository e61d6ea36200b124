//! Certificates, and redirects between https and http.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore::adapters::fetch::http::HttpFetcher;
use longshore::domain::fault::Code;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::server::{Server, Step, answer, play, read_head, redirect};
use super::{Ledger, Script, fetcher_with, options, read};
use crate::bed;

/// A certificate for `tls.test` that signs itself, made for these tests.
const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.der");
const KEY: &[u8] = include_bytes!("tls/key.der");

pub(crate) struct TlsServer {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serving(steps: Vec<Step>) -> TlsServer {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let acceptor = acceptor(CertificateDer::from(CERTIFICATE), key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let Ok(_) = read_head(&mut stream).await else {
                continue;
            };
            for step in steps.clone() {
                if play(&mut stream, step).await.is_err() {
                    break;
                }
            }
            let _ = stream.shutdown().await;
        }
    });
    TlsServer { port, task }
}

/// The server at `upstream` over TLS, with the test bed's certificate, at 127.0.0.1.
pub(crate) async fn before(upstream: SocketAddr) -> TlsServer {
    let [certificate, key] = bed::server_pem_paths();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let acceptor = acceptor(certificate, PrivateKeyDer::from_pem_file(key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (client, server) = (acceptor.accept(stream).await, TcpStream::connect(upstream).await);
                if let (Ok(mut client), Ok(mut server)) = (client, server) {
                    // Whichever side hangs up, it is over.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    TlsServer { port, task }
}

fn acceptor(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A fetcher to which `tls.test` and `other.test` are this machine.
fn trusting(roots: RootCertStore) -> HttpFetcher {
    let names = Script::new(&[("tls.test", &[&["127.0.0.1"]]), ("other.test", &[&["127.0.0.1"]])]);
    HttpFetcher::with(options(), Arc::<Ledger>::default(), names, roots).unwrap()
}

pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE)).unwrap();
    roots
}

#[tokio::test]
async fn only_trusted_certificates_of_the_right_name_are_talked_to() {
    let server = serving(answer(200, "", b"private")).await;
    let url = |host: &str| format!("https://{host}:{}/?secret", server.port);
    assert_eq!(read(&trusting(roots()), &url("tls.test")).await.unwrap(), b"private");
    assert_eq!(read(&trusting(roots()), &url("other.test")).await, Err(Code::TlsInvalid));
    assert_eq!(read(&trusting(RootCertStore::empty()), &url("tls.test")).await, Err(Code::TlsInvalid));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_network_trouble() {
    let names = Script::new(&[("tls.test", &[&["127.0.0.1"]])]);
    let fetcher = fetcher_with(options(), names, Arc::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let speaks = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    });
    assert_eq!(read(&fetcher, &format!("https://tls.test:{port}/")).await, Err(Code::Network));
    speaks.abort();
}

#[tokio::test]
async fn http_may_lead_to_https_but_never_back() {
    let private = serving(answer(200, "", b"private")).await;
    let to = format!("https://tls.test:{}/", private.port);
    let plain = Server::start(move |_| redirect(301, &to)).await;
    assert_eq!(read(&trusting(roots()), &plain.url("/")).await.unwrap(), b"private");
    let target = Server::saying(answer(200, "", b"plain")).await;
    let downgrading = serving(redirect(302, &target.url("/"))).await;
    let url = format!("https://tls.test:{}/", downgrading.port);
    assert_eq!(read(&trusting(roots()), &url).await, Err(Code::UnsupportedScheme));
    assert_eq!(target.connections(), 0);
}
