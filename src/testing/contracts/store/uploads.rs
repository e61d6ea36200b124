//! The suite's third part: objects that are written part by part.

use super::*;

/// Whole parts and a short last one, or whole parts only, come out as they went in.
pub async fn an_upload_gives_the_whole_of_its_parts(fixture: Fixture) {
    for (index, lengths) in
        [vec![PART_BYTES, PART_BYTES, 12_345], vec![PART_BYTES, PART_BYTES], vec![PART_BYTES * 2, 1]].iter().enumerate()
    {
        let key = Key::new(format!("acme/objects/ab/ab{index}.bin"));
        let parts: Vec<Bytes> = (1_u8..).zip(lengths).map(|(seed, length)| pattern(seed, *length)).collect();
        let mut upload = begun(&*fixture.store, &key).await;
        parted(&mut *upload, &parts).await;
        assert_eq!(finished(&mut *upload).await, Put::Stored);
        drop(upload);
        assert_holds(&*fixture.second, &key, &parts.concat()).await;
    }
    assert_nothing_left(&fixture).await;
}

/// One part that is short is a whole object too.
pub async fn an_upload_of_one_short_part_gives_it(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut upload = begun(&*fixture.store, &key).await;
    parted(&mut *upload, &[pattern(3, 77)]).await;
    assert_eq!(finished(&mut *upload).await, Put::Stored);
    assert_holds(&*fixture.store, &key, &pattern(3, 77)).await;
    assert_nothing_left(&fixture).await;
}

/// An upload without parts, or with an empty one, is an empty object; finishing it over another keeps that one.
pub async fn an_upload_of_nothing_gives_an_empty_object(fixture: Fixture) {
    for (name, parts) in [("none", vec![]), ("empty", vec![Bytes::new()])] {
        let key = Key::new(format!("acme/objects/ab/{name}"));
        let mut upload = begun(&*fixture.store, &key).await;
        parted(&mut *upload, &parts).await;
        assert_eq!(finished(&mut *upload).await, Put::Stored);
        assert_holds(&*fixture.store, &key, b"").await;
        let mut late = begun(&*fixture.second, &key).await;
        assert_eq!(finished(&mut *late).await, Put::Exists);
    }
    assert_nothing_left(&fixture).await;
}

/// However much of it is there: before its finish nobody sees anything of an object.
pub async fn nothing_is_visible_before_finish(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut upload = begun(&*fixture.store, &key).await;
    assert_absent(&*fixture.second, &key).await;
    parted(&mut *upload, &[pattern(1, PART_BYTES)]).await;
    assert_absent(&*fixture.store, &key).await;
    parted(&mut *upload, &[pattern(2, 10)]).await;
    assert_absent(&*fixture.second, &key).await;
    assert_eq!(finished(&mut *upload).await, Put::Stored);
    assert!(fixture.second.head(&key).await.expect("a head must be answered").is_some());
}

/// After an abort nothing is visible and nothing is left; a second abort is quiet, and the key is free.
pub async fn an_aborted_upload_leaves_nothing(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut upload = begun(&*fixture.store, &key).await;
    parted(&mut *upload, &[pattern(1, PART_BYTES), pattern(2, 10)]).await;
    upload.abort().await;
    let left = (fixture.leftovers)().await;
    assert!(left.is_empty(), "an abort must have cleared up when it returns: {left:?}");
    upload.abort().await;
    drop(upload);
    assert_absent(&*fixture.store, &key).await;
    assert_eq!(put(&*fixture.store, key.as_str(), "later").await, Put::Stored);
}

/// An upload that is only dropped, idle or in the middle of a part, is cleared up soon and never visible.
pub async fn a_dropped_upload_leaves_nothing(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut idle = begun(&*fixture.store, &key).await;
    parted(&mut *idle, &[pattern(1, PART_BYTES)]).await;
    drop(idle);
    let mut busy = begun(&*fixture.store, &key).await;
    // Polled once and dropped: the part is on its way, or not.
    let answered = busy.part(pattern(2, PART_BYTES)).now_or_never();
    assert!(!matches!(answered, Some(Err(_))), "a part does not fail at once: {answered:?}");
    drop(busy);
    assert_nothing_left(&fixture).await;
    assert_absent(&*fixture.second, &key).await;
}

/// Whoever finishes second is told so, and the first object stays, whether it came by put or by upload.
pub async fn finishing_over_an_object_keeps_the_first(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut first = begun(&*fixture.store, &key).await;
    let mut second = begun(&*fixture.second, &key).await;
    parted(&mut *first, &[pattern(1, 1000)]).await;
    parted(&mut *second, &[pattern(2, 2000)]).await;
    assert_eq!(finished(&mut *first).await, Put::Stored);
    assert_eq!(put(&*fixture.second, key.as_str(), "by put").await, Put::Exists);
    assert_eq!(finished(&mut *second).await, Put::Exists);
    drop((first, second));
    assert_holds(&*fixture.store, &key, &pattern(1, 1000)).await;
    assert_nothing_left(&fixture).await;

    let key = Key::new("acme/objects/ab/ab13.bin");
    let mut late = begun(&*fixture.store, &key).await;
    parted(&mut *late, &[pattern(3, 10)]).await;
    assert_eq!(put(&*fixture.second, key.as_str(), "by put").await, Put::Stored);
    assert_eq!(finished(&mut *late).await, Put::Exists);
    drop(late);
    assert_holds(&*fixture.store, &key, b"by put").await;
    assert_nothing_left(&fixture).await;
}

/// Not kept by every server, so no part of the suite: of eight uploads that finish at once exactly one stores. Amazon S3
/// promises it; on SeaweedFS 4.48 several may be told that they stored (seen in one round of four).
pub async fn racing_uploads_have_one_winner(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut uploads = Vec::new();
    for racer in 0..8_u8 {
        let store = if racer % 2 == 0 { &fixture.store } else { &fixture.second };
        let mut upload = begun(&**store, &key).await;
        parted(&mut *upload, &[pattern(racer, 5000)]).await;
        uploads.push(upload);
    }
    let finishes = uploads.into_iter().map(|mut upload| tokio::spawn(async move { upload.finish().await }));
    let mut winners = Vec::new();
    for (racer, answer) in join_all(finishes).await.into_iter().enumerate() {
        match answer.expect("a racer does not panic") {
            Ok(Put::Stored) => winners.push(u8::try_from(racer).expect("eight")),
            Ok(Put::Exists) | Err(StoreError::Unavailable(_)) => (),
            Err(error) => panic!("a lost race is neither refusal nor corruption: {error}"),
        }
    }
    assert_eq!(winners.len(), 1, "exactly one racer may store: {winners:?}");
    assert_holds(&*fixture.store, &key, &pattern(winners[0], 5000)).await;
    assert_nothing_left(&fixture).await;
}

/// A finish that is repeated, as after a lost answer, finds the object; an abort after it takes nothing away.
pub async fn finishing_again_says_exists(fixture: Fixture) {
    let key = Key::new("acme/objects/ab/ab12.bin");
    let mut upload = begun(&*fixture.store, &key).await;
    parted(&mut *upload, &[pattern(1, 1000)]).await;
    assert_eq!(finished(&mut *upload).await, Put::Stored);
    assert_eq!(finished(&mut *upload).await, Put::Exists);
    upload.abort().await;
    drop(upload);
    assert_holds(&*fixture.second, &key, &pattern(1, 1000)).await;
    assert_nothing_left(&fixture).await;
}
