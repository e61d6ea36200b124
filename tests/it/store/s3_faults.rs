//! What the S3 store makes of a server that misbehaves.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use longshore::domain::object_key::Key;
use longshore::ports::store::{ObjectMeta, PART_BYTES, Put, Store, StoreError};
use longshore::testing::contracts::store::{self as contract, Fixture};

use super::stand_in::{Manners, StandIn};

const META: ObjectMeta<'static> = ObjectMeta { media_type: "text/plain", facts: None };

fn key() -> Key {
    Key::new("acme/objects/ab/ab12")
}

#[tokio::test]
async fn a_bucket_that_ignores_conditions_is_refused_with_what_to_do() {
    for (manners, request) in [
        (Manners { overwrites_by_put: true, ..Manners::default() }, "PutObject"),
        (Manners { overwrites_by_upload: true, ..Manners::default() }, "CompleteMultipartUpload"),
    ] {
        let server = StandIn::start(manners).await;
        let error = server.store().probe().await.expect_err("it overwrites");
        let StoreError::Refused(sentence) = error else {
            panic!("a store that overwrites is refused, not {error:?}");
        };
        assert!(sentence.contains(request) && sentence.contains("s3://bucket/_probe/"), "{sentence}");
        assert_eq!((server.objects(), server.uploads()), (0, 0), "the probe clears up");
    }
    let server = StandIn::start(Manners::default()).await;
    server.store().probe().await.expect("the stand-in can behave, too");
    assert_eq!((server.objects(), server.uploads()), (0, 0), "the probe clears up");
}

#[tokio::test]
async fn a_server_that_knows_no_conditions_at_all_is_refused() {
    let server = StandIn::start(Manners { answers: Some((501, "NotImplemented")), ..Manners::default() }).await;
    let error = server.store().probe().await.expect_err("it cannot");
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
}

#[tokio::test]
async fn answers_are_judged_by_their_code_and_asked_for_once() {
    for (status, code, expected) in [
        (403, "AccessDenied", "refuses"),
        (404, "NoSuchBucket", "refuses"),
        (403, "InvalidAccessKeyId", "refuses"),
        (403, "SignatureDoesNotMatch", "refuses"),
        (403, "RequestTimeTooSkewed", "refuses"),
        (301, "PermanentRedirect", "refuses"),
        (400, "BadDigest", "cannot be reached"),
        (400, "RequestTimeout", "cannot be reached"),
        (409, "OperationAborted", "cannot be reached"),
        (500, "InternalError", "cannot be reached"),
        (503, "SlowDown", "cannot be reached"),
        (503, "ServiceUnavailable", "cannot be reached"),
    ] {
        let server = StandIn::start(Manners { answers: Some((status, code)), ..Manners::default() }).await;
        let error = server.store().overwrite(&key(), Bytes::new()).await.expect_err("refused");
        let said = error.to_string();
        assert!(said.contains(expected) && said.contains(code), "{status} {code}: {said}");
        assert!(error.is_transient(), "{said}");
        assert_eq!(server.seen().len(), 1, "retries are the engine's, not ours: {code}");
    }
}

#[tokio::test]
async fn every_put_carries_its_condition_and_one_checksum() {
    let server = StandIn::start(Manners::default()).await;
    let store = server.store();
    store.put_if_absent(&key(), Bytes::from_static(b"123456789"), META).await.expect("put");
    let mut upload = store.begin(&Key::new("acme/large"), META).await.expect("begun");
    upload.part(Bytes::from_static(b"1234")).await.expect("taken");
    upload.part(Bytes::from_static(b"56789")).await.expect("taken");
    assert_eq!(upload.finish().await.expect("finished"), Put::Stored);

    let seen = server.seen();
    let [put, create, one, two, complete] = &seen[..] else {
        panic!("five requests, not {seen:?}");
    };
    // The sum of "123456789", which any catalogue of CRCs gives.
    for request in [put, complete] {
        assert_eq!(request.header("if-none-match"), Some("*"));
        assert_eq!(request.header("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
    }
    for (request, bytes) in [(put, 9), (one, 4), (two, 5)] {
        assert_eq!(request.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        assert_eq!(request.bytes, bytes, "nothing but the bytes is sent");
        assert!(request.header("x-amz-checksum-crc64nvme").is_some() && request.header("x-amz-trailer").is_none());
    }
    assert_eq!(create.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(complete.header("x-amz-mp-object-size"), Some("9"));
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_found_again() {
    let server = StandIn::start(Manners { loses_completion: true, ..Manners::default() }).await;
    let mut upload = server.store().begin(&key(), META).await.expect("begun");
    upload.part(Bytes::from_static(b"x")).await.expect("taken");
    let error = upload.finish().await.expect_err("the answer is lost");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(upload.finish().await.expect("the second try is answered NoSuchUpload"), Put::Exists);
    drop(upload);
    assert_eq!(server.objects(), 1);
}

#[tokio::test]
async fn an_upload_that_went_away_without_an_object_is_not_called_stored() {
    let gone = Manners { answers_completion: Some((404, "NoSuchUpload")), ..Manners::default() };
    let conflict = Manners { answers_completion: Some((409, "ConditionalRequestConflict")), ..Manners::default() };
    for manners in [gone, conflict] {
        let server = StandIn::start(manners).await;
        let store = server.store();
        let mut upload = store.begin(&key(), META).await.expect("begun");
        upload.part(Bytes::from_static(b"x")).await.expect("taken");
        let error = upload.finish().await.expect_err("nothing is there");
        assert!(matches!(error, StoreError::Corrupt(_)), "the copy begins anew: {error}");
        store.put_if_absent(&key(), Bytes::from_static(b"another's"), META).await.expect("put");
        assert_eq!(upload.finish().await.expect("now the object decides"), Put::Exists);
        assert_eq!(server.uploads(), 0, "the loser throws its parts away");
    }
}

/// On a server that keeps the promise; SeaweedFS does not when completions meet.
#[tokio::test]
async fn racing_uploads_have_one_winner() {
    let server = Arc::new(StandIn::start(Manners::default()).await);
    let (store, second) = (Arc::new(server.store()), Arc::new(server.store()));
    let leftovers = Box::new(move || {
        let open = (0..server.uploads()).map(|number| format!("upload {number}")).collect();
        async { open }.boxed()
    });
    let fixture = Fixture { store, second, leftovers, keep: Box::new(()) };
    contract::racing_uploads_have_one_winner(fixture).await;
}

#[tokio::test]
async fn a_whole_that_is_not_what_was_sent_is_corrupt() {
    let manners = Manners { answers_completion: Some((400, "BadDigest")), ..Manners::default() };
    let server = StandIn::start(manners).await;
    let store = server.store();
    let mut upload = store.begin(&key(), META).await.expect("begun");
    upload.part(Bytes::from_static(b"x")).await.expect("taken");
    let error = upload.finish().await.expect_err("the sums differ");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    drop(upload);
    store.close().await;
    assert_eq!(server.uploads(), 0, "a dropped upload is thrown away by the time the store is closed");
}

#[tokio::test]
async fn bytes_that_do_not_agree_with_their_checksum_are_corrupt() {
    let server = StandIn::start(Manners { spoils_reads: true, ..Manners::default() }).await;
    let store = server.store();
    store.put_if_absent(&key(), Bytes::from(vec![1; 100_000]), META).await.expect("put");
    let stream = store.read(&key()).await.expect("opened").expect("there");
    let error = stream.try_collect::<Vec<_>>().await.expect_err("a spoilt body");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let error = store.get(&key(), 200_000).await.expect_err("a spoilt body");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_and_the_streams_last_item() {
    let server = StandIn::start(Manners { cuts_reads: true, ..Manners::default() }).await;
    let store = server.store();
    store.put_if_absent(&key(), Bytes::from(vec![1; 100_000]), META).await.expect("put");
    let stream = store.read(&key()).await.expect("opened").expect("there");
    let items: Vec<_> = futures::StreamExt::collect(stream).await;
    let broken = items.iter().filter(|item| item.is_err()).count();
    assert_eq!(broken, 1, "{items:?}");
    assert!(matches!(items.last(), Some(Err(StoreError::Unavailable(_)))), "{:?}", items.last());
}

#[tokio::test]
async fn an_upload_is_sent_part_by_part_and_never_held() {
    let server = StandIn::start(Manners::default()).await;
    let mut upload = server.store().begin(&key(), META).await.expect("begun");
    for number in 1..=3 {
        upload.part(Bytes::from(vec![0; PART_BYTES])).await.expect("taken");
        let sent: usize = server.seen().iter().map(|request| request.bytes).sum();
        assert_eq!(sent, number * PART_BYTES, "a part is with the server once it is taken");
    }
    assert!(server.seen().iter().any(|request| request.method == "PUT" && request.uri.contains("partNumber=3")));
    upload.abort().await;
    assert_eq!(server.uploads(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    // It takes connections and no more. The clock runs as soon as nothing else does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("bound"));
    let store = super::stand_in::store_at(&endpoint);
    let mut waits = Vec::new();
    for _ in 0..2 {
        let begun = tokio::time::Instant::now();
        let put = store.put_if_absent(&key(), Bytes::from_static(b"x"), META).await;
        assert!(matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
        waits.push(begun.elapsed().as_secs());
    }
    assert!(waits.iter().all(|secs| *secs <= 64), "a request has a minute: {waits:?}");
}
