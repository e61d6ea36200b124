//! Compressed bodies: whole, cut, false and explosive.

use super::*;
use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use tokio::io::AsyncWriteExt;

const NO_LIMIT: u64 = 1 << 30;

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZstdEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

fn body(bytes: &[u8]) -> BodyStream {
    let pieces: Vec<_> = bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn check(encoded: &[u8], coding: Coding, bytes_max: u64, expected: Result<&[u8], Code>) {
    let pieces: Result<Vec<_>, _> = decoded(body(encoded), coding, "h".into(), bytes_max).try_collect().await;
    let found = pieces.map(|pieces| pieces.concat()).map_err(|fault| fault.code);
    assert!(found.as_deref() == expected.as_ref().map(|bytes| &**bytes), "{:?}", found.map(|bytes| bytes.len()));
}

#[tokio::test]
async fn whole_bodies_come_out_as_they_went_in() {
    let plain = noise(200_000);
    check(&gzip(&plain).await, Coding::Gzip, NO_LIMIT, Ok(&plain)).await;
    check(&zstd(&plain).await, Coding::Zstd, NO_LIMIT, Ok(&plain)).await;
    let twice = [gzip(&plain).await, gzip(&plain).await].concat();
    check(&twice, Coding::Gzip, NO_LIMIT, Ok(&[plain.clone(), plain].concat())).await;
}

#[tokio::test]
async fn what_breaks_off_or_is_no_such_coding_is_truncated() {
    let plain = noise(200_000);
    for (encoded, coding) in [(gzip(&plain).await, Coding::Gzip), (zstd(&plain).await, Coding::Zstd)] {
        check(&encoded[..encoded.len() - 1], coding, NO_LIMIT, Err(Code::Truncated)).await;
        check(&encoded[..10], coding, NO_LIMIT, Err(Code::Truncated)).await;
        check(&plain, coding, NO_LIMIT, Err(Code::Truncated)).await;
    }
}

#[tokio::test]
async fn a_bomb_is_too_large_long_before_it_has_gone_off() {
    let bomb = vec![0; 64 << 20];
    for (encoded, coding) in [(gzip(&bomb).await, Coding::Gzip), (zstd(&bomb).await, Coding::Zstd)] {
        check(&encoded, coding, NO_LIMIT, Err(Code::TooLarge)).await;
    }
    let plain = noise(5000);
    check(&gzip(&plain).await, Coding::Gzip, 4999, Err(Code::TooLarge)).await;
    check(&gzip(&plain).await, Coding::Gzip, 5000, Ok(&plain)).await;
}

#[tokio::test]
async fn the_bodys_own_fault_stays_what_it_was() {
    let fault = AttachmentFault::new(Code::Timeout, "too slow");
    let broken = stream::iter([Err(fault.clone())]).boxed();
    let found: Result<Vec<_>, _> = decoded(broken, Coding::Gzip, "h".into(), 9).try_collect().await;
    assert_eq!(found, Err(fault));
}
