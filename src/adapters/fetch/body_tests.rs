//! Bodies by the second, on paused time.

use super::*;
use crate::domain::id::TeamId;
use crate::domain::team::Team;
use crate::ports::budget::Unlimited;
use futures::TryStreamExt;

const PACE: Pace = Pace {
    idle: Duration::from_secs(30),
    total: Duration::from_secs(3600),
    min_rate: 1024,
    window: Duration::from_secs(60),
};

fn payer() -> Payer {
    let id = TeamId::new("acme").unwrap();
    let team = Arc::new(KnownTeam { id, record: Team::default() });
    Payer { budget: Arc::new(Unlimited), team, place: Place::Local }
}

/// A body of `pieces` pieces of `bytes` bytes, one every `every_secs` seconds.
fn watched(pieces: u64, bytes: usize, every_secs: u64, pace: Pace, length: Option<u64>) -> BodyStream {
    let source = stream::iter(0..pieces).then(move |_| async move {
        tokio::time::sleep(Duration::from_secs(every_secs)).await;
        Ok(Bytes::from(vec![7; bytes]))
    });
    let expected = Expected { length, bytes_max: 1 << 20, sha256: None, crc: None };
    Watched::new(source.boxed(), "h".into(), pace, payer(), expected).into_stream()
}

async fn check(body: BodyStream, expected: Result<usize, Code>) {
    let found = body.try_fold(0, |sum, piece| async move { Ok(sum + piece.len()) }).await;
    assert_eq!(found.map_err(|fault| fault.code), expected);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_keeps_silent_too_long_is_left() {
    check(watched(3, 100_000, 29, PACE, None), Ok(300_000)).await;
    check(watched(3, 100_000, 31, PACE, None), Err(Code::Timeout)).await;
}

#[tokio::test(start_paused = true)]
async fn a_drip_below_the_least_rate_is_left_and_one_above_is_not() {
    check(watched(100, 1000, 1, PACE, None), Err(Code::Timeout)).await;
    check(watched(100, 1030, 1, PACE, None), Ok(103_000)).await;
    check(watched(50, 1, 1, PACE, None), Ok(50)).await;
    check(watched(100, 0, 1, PACE, None), Err(Code::Timeout)).await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_bounded_too() {
    let pace = Pace { total: Duration::from_secs(10), ..PACE };
    check(watched(11, 2000, 1, pace, None), Err(Code::Timeout)).await;
    check(watched(9, 2000, 1, pace, None), Ok(18_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_the_sources_fault() {
    let pace = Pace { total: Duration::from_secs(10), ..PACE };
    let mut body = watched(5, 10, 1, pace, Some(50));
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        bytes += piece.expect("no fault").len();
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    assert_eq!(bytes, 50);
}

#[tokio::test(start_paused = true)]
async fn lengths_and_sizes_are_kept() {
    check(watched(2, 10, 0, PACE, Some(20)), Ok(20)).await;
    check(watched(2, 10, 0, PACE, Some(21)), Err(Code::Truncated)).await;
    check(watched(2, 10, 0, PACE, Some(19)), Err(Code::Truncated)).await;
    check(watched(2, 1 << 19, 0, PACE, None), Ok(1 << 20)).await;
    check(watched(3, 1 << 19, 0, PACE, None), Err(Code::TooLarge)).await;
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_nobody_else_could_compare_is_compared_here() {
    for (digest, expected) in [(Sha256::of(b"x"), Ok(1)), (Sha256::of(b"y"), Err(Code::ChecksumMismatch))] {
        let source = stream::iter([Ok(Bytes::from_static(b"x"))]).boxed();
        let expects = Expected { length: None, bytes_max: 9, sha256: Some(digest), crc: None };
        check(Watched::new(source, "h".into(), PACE, payer(), expects).into_stream(), expected).await;
    }
    // The check value of the catalogue of CRC algorithms.
    for (sum, expected) in [(0xe306_9283, Ok(9)), (1, Err(Code::ChecksumMismatch))] {
        let source = stream::iter([Ok(Bytes::from_static(b"123456789"))]).boxed();
        let expects = Expected { length: None, bytes_max: 9, sha256: None, crc: Some(Crc::Crc32c(sum)) };
        check(Watched::new(source, "h".into(), PACE, payer(), expects).into_stream(), expected).await;
    }
}
