//! The suite's first part: single puts, documents, finding and reading.

use super::*;

/// The first put stores, the second is told so, and the first bytes stay: for another client too.
pub async fn a_first_put_stores_and_a_second_finds_it(fixture: Fixture) {
    let (store, key) = (&*fixture.store, Key::new("acme/objects/ab/ab12.jpg"));
    assert_eq!(put(store, key.as_str(), "first").await, Put::Stored);
    assert_eq!(put(store, key.as_str(), "second").await, Put::Exists);
    assert_eq!(put(store, key.as_str(), "first").await, Put::Exists, "even with the same bytes");
    assert_eq!(put(&*fixture.second, key.as_str(), "third").await, Put::Exists);
    assert_holds(store, &key, b"first").await;
    assert_holds(&*fixture.second, &key, b"first").await;
    assert_eq!(put(store, "acme/objects/ab/empty", "").await, Put::Stored);
    assert_holds(store, &Key::new("acme/objects/ab/empty"), b"").await;
}

/// Of sixteen puts at once through two clients exactly one stores, and its bytes are there.
pub async fn sixteen_racing_puts_have_one_winner(fixture: Fixture) {
    for round in 0..8 {
        let key = Key::new(format!("acme/receipts/t-{round}.json"));
        let puts = (0..16_u8).map(|racer| {
            let store = if racer % 2 == 0 { &fixture.store } else { &fixture.second };
            let (store, key) = (Arc::clone(store), key.clone());
            let put = async move { store.put_if_absent(&key, pattern(racer, 3000), PLAIN).await };
            tokio::spawn(put)
        });
        let mut winners = Vec::new();
        let mut answers = Vec::new();
        for (racer, answer) in join_all(puts).await.into_iter().enumerate() {
            let answer = answer.expect("a racer does not panic");
            // A store may ask a racer to come again (409), but may not let it win then.
            if matches!(answer, Ok(Put::Stored)) {
                winners.push(u8::try_from(racer).expect("sixteen"));
            }
            answers.push(answer);
        }
        assert_eq!(winners.len(), 1, "exactly one racer may store: {answers:?}");
        let broken =
            answers.iter().any(|answer| matches!(answer, Err(StoreError::Refused(_) | StoreError::Corrupt(_))));
        assert!(!broken, "a lost race is neither refusal nor corruption: {answers:?}");
        assert_holds(&*fixture.store, &key, &pattern(winners[0], 3000)).await;
    }
}

/// Facts come back in the head, byte for byte, if and only if the store says that it keeps them.
pub async fn facts_come_back_where_the_store_keeps_them(fixture: Fixture) {
    let long = format!("{{\"etag\":\"{}\"}}", "x".repeat(1400));
    let all = [
        r#"{"media_type":"image/jpeg","bytes":5,"etag":"\"a  b\""}"#,
        r#"{"name":"Übergröße – 写真"}"#,
        "{\n  \"pretty\": true\n}\n",
        "{}",
        long.as_str(),
    ];
    for (index, facts) in all.into_iter().enumerate() {
        let key = Key::new(format!("acme/objects/ab/ab{index}.jpg"));
        let meta = ObjectMeta { media_type: "image/jpeg", facts: Some(facts.as_bytes()) };
        let put = fixture.store.put_if_absent(&key, Bytes::from_static(b"bytes"), meta).await;
        assert_eq!(put.expect("a put with facts must work"), Put::Stored);
        let kept = fixture.store.keeps_facts().then(|| Bytes::from(facts.to_owned()));
        let expected = Some(Head { bytes: 5, facts: kept });
        let head = fixture.second.head(&key).await.expect("a head must be answered");
        assert_eq!(head, expected, "the head must tell what was put, as far as the store keeps it");
    }
    put(&*fixture.store, "acme/objects/ab/bare", "bare").await;
    let head = fixture.store.head(&Key::new("acme/objects/ab/bare")).await;
    let expected = Some(Head { bytes: 4, facts: None });
    assert_eq!(head.expect("a head must be answered"), expected, "no facts came, none come back");
}

/// `~`, `:`, dots, spaces, signs and letters of all kinds stand in keys, and each key is itself only.
pub async fn odd_keys_are_kept_apart(fixture: Fixture) {
    let keys = [
        "acme/receipts/t-1.json",
        "acme/receipts/t-1~2.json",
        "acme/receipts/t-1~trace.json",
        "acme/receipts/....json",
        "acme/receipts/a:b:c.json",
        "acme/receipts/a b.json",
        "acme/receipts/a%20b.json",
        "acme/receipts/a+b.json",
        "acme/receipts/A.json",
        "acme/receipts/a.json",
        "acme/receipts/.hidden",
        "acme/receipts/für#?&=.json",
        "_claims/role/x.json",
    ];
    for key in keys {
        assert_eq!(put(&*fixture.store, key, key).await, Put::Stored, "{key} must be a key of its own");
    }
    for key in keys {
        assert_holds(&*fixture.store, &Key::new(key), key.as_bytes()).await;
    }
    let listed = fixture.store.list(&Key::new("acme/receipts"), None, 100).await.expect("a list must be answered");
    let mut expected: Vec<Key> = keys.iter().filter(|key| key.starts_with("acme")).map(|key| Key::new(*key)).collect();
    expected.sort();
    assert_eq!(listed, expected, "keys must be listed as they were put, in order");
}

/// An object is found by its stem, whatever extension it has.
pub async fn a_stem_is_found_with_and_without_extension(fixture: Fixture) {
    for (stem, key) in [
        ("acme/objects/ab/ab12", "acme/objects/ab/ab12"),
        ("acme/objects/cd/cd34", "acme/objects/cd/cd34.jpg"),
        ("acme/objects/ef/ef56", "acme/objects/ef/ef56.json"),
    ] {
        assert_eq!(fixture.store.find(&Key::new(stem)).await.expect("a find must be answered"), None);
        put(&*fixture.store, key, "x").await;
        let found = fixture.second.find(&Key::new(stem)).await.expect("a find must be answered");
        assert_eq!(found, Some(Key::new(key)), "{key} must be found by its stem");
    }
}

/// `ab12` is not `ab123`, nor what lies below `ab12/`, nor `ab12-x`.
pub async fn a_stem_is_not_confused_with_a_longer_one(fixture: Fixture) {
    let store = &*fixture.store;
    for key in ["ab123.jpg", "ab123", "ab12-x", "ab12-x.jpg", "ab1.jpg"] {
        put(store, &format!("acme/objects/ab/{key}"), "x").await;
    }
    for number in 0..20 {
        put(store, &format!("acme/objects/ab/ab12!{number}"), "x").await;
    }
    let stem = Key::new("acme/objects/ab/ab12");
    assert_eq!(store.find(&stem).await.expect("a find must be answered"), None, "only longer names are there");
    put(store, "acme/objects/ab/ab12.png", "x").await;
    let found = store.find(&stem).await.expect("a find must be answered");
    assert_eq!(found, Some(Key::new("acme/objects/ab/ab12.png")));
}

/// Reading yields the bytes of the object, whole and in order, in more than one piece if it is large.
pub async fn reading_streams_the_exact_bytes(fixture: Fixture) {
    let (key, content) = (Key::new("acme/objects/ab/ab12.bin"), pattern(7, 3_000_001));
    let put = fixture.store.put_if_absent(&key, content.clone(), PLAIN).await;
    assert_eq!(put.expect("a put must work"), Put::Stored);
    assert_holds(&*fixture.second, &key, &content).await;
    let mut stream = fixture.store.read(&key).await.expect("it must open").expect("it is there");
    let first = stream.next().await.expect("it is not empty").expect("its first bytes must come");
    assert!(first.len() < content.len(), "an object of 3 MB must come in pieces");
    assert!(content.starts_with(&first), "the first piece is the beginning");
}

/// A document is given whole up to its bound, and one above is `Corrupt` rather than cut.
pub async fn a_document_larger_than_allowed_is_corrupt(fixture: Fixture) {
    let key = Key::new("acme/receipts/t-1.json");
    put(&*fixture.store, key.as_str(), "0123456789").await;
    let whole = fixture.store.get(&key, 10).await.expect("ten of ten is allowed");
    assert_eq!(whole.as_deref(), Some(b"0123456789".as_slice()));
    let error = fixture.store.get(&key, 9).await.expect_err("ten bytes are more than nine");
    assert!(matches!(error, StoreError::Corrupt(_)), "a larger document is corrupt: {error}");
}

/// What was never put is `None`, not an error, whatever lies near it.
pub async fn what_is_not_there_is_none(fixture: Fixture) {
    put(&*fixture.store, "acme/objects/ab/file", "x").await;
    for key in ["acme/objects/ab/ab12", "other/x", "acme/objects/ab/file/below", "acme/objects/ab", "acme/objects"] {
        let key = Key::new(key);
        assert_absent(&*fixture.store, &key).await;
        assert_eq!(fixture.store.get(&key, 10).await.expect("a get must be answered"), None);
    }
    let listed = fixture.store.list(&Key::new("nobody"), None, 10).await.expect("a list must be answered");
    assert!(listed.is_empty(), "a folder that is not there is empty");
}

/// A document of ours may be written again and again; whoever reads gets the newest, whole.
pub async fn an_overwritten_document_is_the_newest(fixture: Fixture) {
    let key = Key::new("acme/state/endpoint.json");
    for (store, content) in [(&fixture.store, "one"), (&fixture.second, "second, longer"), (&fixture.store, "3")] {
        let content = Bytes::from_static(content.as_bytes());
        store.overwrite(&key, content.clone()).await.expect("an overwrite must work");
        assert_holds(&*fixture.second, &key, &content).await;
    }
    assert_eq!(put(&*fixture.store, key.as_str(), "x").await, Put::Exists);
}

/// Each key has an address with a scheme, which ends in the key and is no other key's.
pub async fn addresses_are_absolute_and_differ(fixture: Fixture) {
    let (one, two) = (Key::new("acme/objects/ab/ab12.jpg"), Key::new("acme/objects/ab/ab13.jpg"));
    let uri = fixture.store.uri(&one);
    let absolute = ["s3://", "file:///", "memory://"].iter().any(|scheme| uri.starts_with(scheme));
    assert!(absolute, "{uri} must be absolute");
    assert!(uri.ends_with("/acme/objects/ab/ab12.jpg"), "{uri} must end in its key");
    assert_eq!(uri, fixture.second.uri(&one), "both clients name the same place");
    assert_ne!(uri, fixture.store.uri(&two));
}

/// A store that keeps its word passes the probe, twice and from two sides at once, and nothing of it is left.
pub async fn the_probe_passes_and_clears_up(fixture: Fixture) {
    let (one, two) = tokio::join!(fixture.store.probe(), fixture.second.probe());
    one.expect("a store that keeps its word passes its probe");
    two.expect("a second worker's probe passes beside the first");
    fixture.store.probe().await.expect("the probe passes again");
    let left = fixture.store.list(&Key::new("_probe"), None, 10).await.expect("a list must be answered");
    assert!(left.is_empty(), "the probe must clear up: {left:?}");
    assert_nothing_left(&fixture).await;
}

/// A store that can be reached says so, and nothing changes by asking.
pub async fn a_check_passes(fixture: Fixture) {
    fixture.store.check().await.expect("the store can be reached");
    assert_nothing_left(&fixture).await;
}
