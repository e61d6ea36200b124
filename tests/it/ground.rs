//! The ground we test on: each service answers as what it should be, and comes back after a kill.
//!
//! When a test here fails, look at the test bed before the code.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use url::Url;

use crate::bed;

/// Opens a connection to the URL's host and port, with TLS where its scheme says so.
fn connect(url: &Url) -> Box<dyn ReadWrite> {
    let host = url.host_str().unwrap();
    let port = url.port().unwrap();
    let plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    if !matches!(url.scheme(), "https" | "amqps") {
        return Box::new(plain);
    }
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(trusting_our_ca()), name).unwrap();
    Box::new(rustls::StreamOwned::new(connection, plain))
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn trusting_our_ca() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(bed::ca_pem_path()).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Asks for `path` below `base` and returns the whole answer, head and body, as text.
fn get(base: &str, path: &str) -> String {
    let url = Url::parse(base).unwrap();
    let mut stream = connect(&url);
    let host = url.host_str().unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A TLS server may close without saying so; what counts is what came.
    let _end = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn check_answer(base: &str, path: &str, status: &str, holds: &str) {
    let answer = get(base, path);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{base}{path} answered: {answer}");
    assert!(answer.contains(holds), "{base}{path} answered: {answer}");
}

/// Says hello as an AMQP 0-9-1 client and expects the method `connection.start`.
fn check_speaks_amqp(url: &str) {
    let mut stream = connect(&Url::parse(url).unwrap());
    stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    let mut frame = [0; 11];
    stream.read_exact(&mut frame).unwrap();
    let (kind, method) = (frame[0], &frame[7..11]);
    assert_eq!((kind, method), (1, &[0, 10, 0, 10][..]), "no connection.start on {url}");
}

#[test]
fn the_broker_speaks_amqp_with_and_without_tls() {
    bed::require("rabbit");
    check_speaks_amqp(bed::rabbit_url());
    check_speaks_amqp(bed::amqps_url());
    check_answer(bed::rabbit_management_url(), "/api/overview", "401", "RabbitMQ Management");
}

#[test]
fn the_store_speaks_s3_and_asks_for_a_signature() {
    bed::require("weed");
    check_answer(bed::weed_endpoint(), "/", "403", "<Code>AccessDenied</Code>");
}

#[test]
fn the_fault_proxy_passes_on_what_the_store_says() {
    bed::require("weed");
    bed::require("fault");
    check_answer(bed::fault_endpoint(), "/", "403", "<Code>AccessDenied</Code>");
    check_answer(bed::fault_control_url(), "/rules", "200", "[");
}

#[test]
fn nginx_serves_its_folder_with_and_without_tls() {
    bed::require("nginx");
    assert!(bed::nginx_root().join("hello.txt").is_file());
    for base in [bed::nginx_url(), bed::nginx_tls_url()] {
        check_answer(base, "/hello.txt", "200", "longshore test bed");
    }
}

#[test]
fn the_limited_origin_says_429_and_when_to_come_again() {
    bed::require("nginx");
    let refused = (0..200).map(|_| get(bed::nginx_limited_url(), "/hello.txt")).find(|a| !a.contains(" 200 "));
    let refused = refused.expect("200 requests in a row are faster than 50 a second");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("Retry-After: 1"), "{refused}");
}

#[test]
fn the_chaos_origin_answers_on_all_its_addresses() {
    bed::require("chaos");
    check_answer(bed::chaos_url(), "/blob/ground?kind=text&text=here", "200", "here");
    check_answer(bed::chaos_tls_url(), "/blob/ground?kind=text&text=here", "200", "here");
    for last in [2, 40] {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, last], 5800)));
        assert!(stream.is_ok(), "127.0.0.{last} does not listen");
    }
}

#[test]
fn the_aws_emulator_answers_and_enforces_identities() {
    bed::require("ministack");
    check_answer(bed::ministack_endpoint(), "/_ministack/health", "200", "\"sqs\"");
    check_answer(bed::ministack_endpoint(), "/?Action=ListQueues", "403", "");
}

#[test]
#[should_panic(expected = "no service of the test bed is called postbox")]
fn a_service_that_nobody_knows_is_an_error() {
    bed::require("postbox");
}

mod kills {
    use super::{bed, check_answer, check_speaks_amqp};

    #[test]
    fn a_killed_origin_is_gone_until_it_is_started_again() {
        bed::require("nginx");
        bed::kill9("nginx");
        let asked = std::panic::catch_unwind(|| bed::require("nginx"));
        bed::start("nginx");
        let refusal = *asked.expect_err("a killed service must be missed").downcast::<String>().unwrap();
        assert!(refusal.contains("start it with `make bed`"), "{refusal}");
        check_answer(bed::nginx_url(), "/hello.txt", "200", "longshore test bed");
    }

    #[test]
    fn the_broker_comes_back_after_a_kill_and_after_a_restart() {
        bed::require("rabbit");
        bed::kill9("rabbit");
        bed::start("rabbit");
        check_speaks_amqp(bed::rabbit_url());
        bed::restart("rabbit");
        check_speaks_amqp(bed::amqps_url());
    }
}
