//! What the broker refuses, in words that a person can act on, and how connections are made.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use longshore::adapters::amqp::{AmqpOptions, AmqpQueue};
use longshore::ports::queue::{Queue, QueueError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::bench::{Bench, broker_url, ids, outgoing, send, table, take, text, tls_url};
use crate::bed;

/// Checks that sending and receiving are refused with a text that holds `parts`.
async fn check_refused(options: AmqpOptions, parts: &[&str]) {
    let queue = AmqpQueue::new(options).unwrap();
    let (sent, received) = (queue.send(&[outgoing("a")]).await, queue.receive(1).await.map(drop));
    for result in [sent, received] {
        let Err(QueueError::Refused(why)) = result else { panic!("not refused: {result:?}") };
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
        assert!(!why.contains("s3cret"), "{why}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_printed() {
    let bench = Bench::new().await;
    let mut url = broker_url();
    url.set_password(Some("s3cret")).unwrap();
    check_refused(AmqpOptions { url: url.to_string().into(), ..bench.options() }, &["ACCESS_REFUSED"]).await;
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_refused() {
    let bench = Bench::new().await;
    let mut url = broker_url();
    url.set_path("/nowhere");
    check_refused(AmqpOptions { url: url.to_string().into(), ..bench.options() }, &["nowhere"]).await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_refused_by_name() {
    let bench = Bench::new().await;
    let arguments = table(&[("x-queue-type", text("classic"))]);
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    bench.hand().await.queue_declare(bench.name.as_str().into(), options, arguments).await.unwrap();
    check_refused(bench.options(), &[&bench.name, "inequivalent arg 'x-"]).await;
}

#[tokio::test]
async fn a_quorum_queue_without_our_arguments_is_refused_by_argument() {
    let bench = Bench::new().await;
    let arguments = table(&[("x-queue-type", text("quorum"))]);
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    bench.hand().await.queue_declare(bench.name.as_str().into(), options, arguments).await.unwrap();
    check_refused(bench.options(), &[&bench.name, "inequivalent arg 'x-dead-letter-"]).await;
}

#[tokio::test]
async fn queues_that_are_missing_are_all_named() {
    let bench = Bench::new().await;
    let tier = format!("{}.retry.15m", bench.name);
    let options = AmqpOptions { declare: false, ..bench.options() };
    check_refused(options.clone(), &[&bench.name, &bench.dead(), &tier, "declare"]).await;

    send(&bench.queue(), &["a"]).await;
    let passive = AmqpQueue::new(options).unwrap();
    assert_eq!(ids(&take(&passive, 1).await), ["a"]);
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:s3cret@{}", listener.local_addr().unwrap());
    drop(listener);
    let queue = AmqpQueue::new(AmqpOptions { url: url.into(), ..bench.options() }).unwrap();
    for result in [queue.send(&[outgoing("a")]).await, queue.receive(1).await.map(drop)] {
        let Err(QueueError::Unavailable(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("127.0.0.1") && !why.contains("s3cret"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}", listener.local_addr().unwrap());
    let queue = AmqpQueue::new(AmqpOptions { url: url.into(), ..bench.options() }).unwrap();
    let began = Instant::now();
    let sent = queue.send(&[outgoing("a")]).await;
    assert!(matches!(sent, Err(QueueError::Unavailable(_))), "{sent:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

fn trusting(roots: rustls::RootCertStore) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn messages_go_round_with_tls() {
    let bench = Bench::new().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(bed::ca_pem_path()).unwrap()).unwrap();
    let url = tls_url().to_string().into();
    let queue = AmqpQueue::new(AmqpOptions { url, tls: Some(trusting(roots)), ..bench.options() }).unwrap();
    let large = longshore::ports::queue::Outgoing { body: vec![b'x'; 900_000].into(), ..outgoing("a") };
    queue.send(std::slice::from_ref(&large)).await.unwrap();
    let taken = take(&queue, 1).await;
    assert!(taken[0].message.body == large.body);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let bench = Bench::new().await;
    let options = AmqpOptions { url: tls_url().to_string().into(), ..bench.options() };
    let nobody = Some(trusting(rustls::RootCertStore::empty()));
    for tls in [None, nobody] {
        let queue = AmqpQueue::new(AmqpOptions { tls, ..options.clone() }).unwrap();
        let sent = queue.send(&[outgoing("a")]).await;
        let Err(QueueError::Unavailable(why)) = sent else { panic!("{sent:?}") };
        assert!(why.contains("certificate"), "{why}");
    }
}
