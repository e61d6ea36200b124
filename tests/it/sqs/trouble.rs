//! Wrong settings, refusals, throttling and outages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::QueueAttributeName;
use longshore::adapters::sqs::{SqsDeadLetters, SqsOptions, SqsQueue};
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{DeadLetters, Extended, Lease, Queue, QueueError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::fixture::{Kind, Pair, take_one};
use crate::bed;
use crate::scenario::way::Way;

fn refusal<T: std::fmt::Debug>(outcome: Result<T, QueueError>) -> String {
    match outcome {
        Err(QueueError::Refused(why)) => why,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_a_refusal() {
    let pair = Pair::new(Kind::Standard).await;
    for (task, dead) in
        [(format!("{}-missing", pair.task), pair.dead.clone()), (pair.task.clone(), format!("{}-missing", pair.dead))]
    {
        let queue = SqsQueue::new(&SqsOptions::new(&task, &dead, pair.sdk.clone())).unwrap();
        assert!(refusal(queue.check().await).contains("-missing"));
        refusal(queue.receive(1).await);
    }
}

#[tokio::test]
async fn a_redrive_policy_that_takes_messages_away_early_is_a_refusal() {
    let pair = Pair::new(Kind::Standard).await;
    let asked = pair.sqs.get_queue_attributes().queue_url(&pair.dead).attribute_names(QueueAttributeName::QueueArn);
    let arn = asked.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    for (receives, allowed) in [(99, false), (100, true)] {
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{receives}}}"#);
        let set = pair.sqs.set_queue_attributes().queue_url(&pair.task);
        set.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
        let checked = pair.queue().check().await;
        if allowed {
            checked.unwrap();
        } else {
            let why = refusal(checked);
            assert!(why.contains("maxReceiveCount is 99, but must be at least 100"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_dead_letter_queue_of_another_type_is_a_refusal() {
    let (standard, fifo) = (Pair::new(Kind::Standard).await, Pair::new(Kind::Fifo).await);
    let options = SqsOptions::new(&standard.task, &fifo.dead, standard.sdk.clone());
    let why = refusal(SqsQueue::new(&options).unwrap().check().await);
    assert!(why.contains("both must be of one type"), "{why}");
}

#[tokio::test]
async fn another_accounts_queue_is_a_refusal() {
    let pair = Pair::new(Kind::Standard).await;
    let stranger = Credentials::new("444455556666", "test", None, None, "test");
    let sdk = pair.sdk.to_builder().credentials_provider(SharedCredentialsProvider::new(stranger)).build();
    let options = SqsOptions::new(&pair.task, &pair.dead, sdk);
    let why = refusal(SqsQueue::new(&options).unwrap().receive(1).await);
    assert!(why.contains("AccessDenied"), "{why}");
    refusal(SqsDeadLetters::new(&options).unwrap().list(1).await);
}

#[tokio::test]
async fn an_answer_that_is_read_after_its_lease_has_ended_is_not_taken_in_hand() {
    let pair = Pair::new(Kind::Standard).await;
    let way = Way::open(bed::ministack_endpoint()).await;
    let lease = Duration::from_secs(2);
    let slow = SqsOptions { endpoint_url: Some(way.endpoint()), lease, ..pair.options() };
    let slow = Arc::new(SqsQueue::new(&slow).unwrap());
    slow.check().await.unwrap();
    // As a frozen process would: the message is given, and the answer lies unread.
    way.hold_answers();
    let receiving = tokio::spawn({
        let slow = Arc::clone(&slow);
        async move { slow.receive(10).await.unwrap() }
    });
    pair.send("{}", &[]).await;
    let other = pair.queue();
    while other.depth().await.unwrap().leased == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let delivery = take_one(&other).await;
    assert!(!delivery.is_first(), "it was given before");
    other.settle(&delivery.lease, &Settlement::Done).await.unwrap();
    // Later than a poll of a second and its lease may have ended, and sooner than a request is given up.
    tokio::time::sleep(Duration::from_secs(2)).await;
    way.release_answers();
    assert_eq!(receiving.await.unwrap(), [], "it is somebody else's");
    slow.close().await;
    assert_eq!(pair.queue().depth().await.unwrap().total(), 0, "nothing was put back that was done");
}

/// What is known of one lease must not be thrown away because nothing is known of another.
#[tokio::test]
async fn what_is_known_of_leases_is_told_though_sqs_does_not_answer_for_others() {
    let pair = Pair::new(Kind::Standard).await;
    let mut way = Way::open(bed::ministack_endpoint()).await;
    let options = SqsOptions { endpoint_url: Some(way.endpoint()), ..pair.options() };
    let queue = SqsQueue::new(&options).unwrap();
    pair.send("{}", &[]).await;
    let held = take_one(&queue).await.lease;
    let nobodys = Lease("nobody's".to_owned());
    way.cut().await;
    let extended = queue.extend(&[nobodys.clone(), held.clone()]).await.unwrap();
    assert_eq!(extended, Extended { lost: vec![nobodys], unanswered: vec![held.clone()] });
    way.reopen().await;
    assert_eq!(queue.extend(std::slice::from_ref(&held)).await.unwrap(), Extended::default());
    queue.settle(&held, &Settlement::Done).await.unwrap();
}

/// Asks without pause for a while and returns how many requests came of it.
async fn asked_for(span: Duration, endpoint: &str) -> u64 {
    let pair = Pair::new(Kind::Standard).await;
    let options = SqsOptions { endpoint_url: Some(endpoint.to_owned()), ..pair.options() };
    let queue = SqsQueue::new(&options).unwrap();
    let end = Instant::now() + span;
    while let Ok(received) = tokio::time::timeout_at(end, queue.receive(10)).await {
        assert!(matches!(received, Err(QueueError::Unavailable(_))), "{received:?}");
    }
    queue.requests()
}

#[tokio::test]
async fn an_sqs_that_is_away_is_asked_seldom() {
    // Nobody listens on a port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let requests = asked_for(Duration::from_secs(5), &format!("http://127.0.0.1:{port}")).await;
    assert!((2..=25).contains(&requests), "{requests} requests in 5 s");
}

#[tokio::test]
async fn an_sqs_that_is_away_is_told_of_in_one_line() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let options = SqsOptions {
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
        ..Pair::new(Kind::Standard).await.options()
    };
    let Err(QueueError::Unavailable(said)) = SqsQueue::new(&options).unwrap().receive(1).await else {
        panic!("nobody listens there");
    };
    assert!(said.contains("Connection refused"), "{said}");
    assert!(!said.contains(['{', '\n']) && said.len() < 200, "{said}");
}

#[tokio::test]
async fn an_sqs_that_throttles_is_asked_seldom() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answered);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 16 * 1024];
            let _ = stream.read(&mut asked).await;
            let body = r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}"#;
            let head = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.0";
            let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    asked_for(Duration::from_secs(5), &endpoint).await;
    let answered = answered.load(Ordering::SeqCst);
    assert!((2..=25).contains(&answered), "{answered} requests in 5 s");
}
