//! The suite's second part: listing in order, in pages, below one folder.

use super::*;

/// Listing goes in the order of keys, and goes on after a key in pages.
pub async fn listing_is_in_order_and_pages(fixture: Fixture) {
    let names = (0..23).map(|number| format!("acme/receipts/t-{number}.json"));
    let folders = ["a/x", "a/y/z", "a0", "b"].map(|name| format!("acme/receipts/{name}"));
    let mut expected: Vec<Key> = names.chain(folders).map(Key::new).collect();
    for key in &expected {
        put(&*fixture.store, key.as_str(), "x").await;
    }
    expected.sort();
    let folder = Key::new("acme/receipts");
    assert_eq!(listed(&fixture, None).await, expected, "all keys, in order");
    for limit in [1, 4, 7] {
        assert_eq!(paged(&fixture, limit).await, expected, "pages of {limit} make the whole");
    }
    let after = Key::new("acme/receipts/b0-never-put");
    let rest: Vec<Key> = expected.iter().filter(|key| **key > after).cloned().collect();
    assert_eq!(listed(&fixture, Some(&after)).await, rest, "after a key that is not there");
    let none = fixture.store.list(&folder, None, 0).await;
    assert!(none.expect("a list must be answered").is_empty(), "none were asked for");
}

/// Where a folder's name begins a file's (`a/x` and `a-b`), S3 orders by whole keys and SeaweedFS by folders. Either way
/// pages visit each key once.
pub async fn pages_visit_each_key_once(fixture: Fixture) {
    let mut expected = straddling(&fixture).await;
    expected.sort();
    for limit in [1, 2, 3, 5] {
        let mut keys = paged(&fixture, limit).await;
        keys.sort();
        assert_eq!(keys, expected, "pages of {limit} make the whole");
    }
}

/// Not kept by every server, so no part of the suite: the order of whole keys, over folders too, as Amazon S3 has it.
pub async fn listing_follows_whole_keys(fixture: Fixture) {
    let expected = straddling(&fixture).await;
    assert_eq!(listed(&fixture, None).await, expected);
    for limit in [1, 2, 3, 5] {
        assert_eq!(paged(&fixture, limit).await, expected, "pages of {limit} make the whole");
    }
}

/// Puts keys whose order differs between whole names and folders; returns them in the order of whole names.
async fn straddling(fixture: &Fixture) -> Vec<Key> {
    let names = ["a-b", "a-b-c/x", "a.c", "a/x", "a/y/z", "a/y0", "a0", "b"];
    let keys = names.map(|name| Key::new(format!("acme/receipts/{name}")));
    for key in keys.iter().rev() {
        put(&*fixture.store, key.as_str(), "x").await;
    }
    keys.to_vec()
}

async fn listed(fixture: &Fixture, after: Option<&Key>) -> Vec<Key> {
    let folder = Key::new("acme/receipts");
    let listed = fixture.store.list(&folder, after, 1000).await;
    listed.expect("a list must be answered")
}

async fn paged(fixture: &Fixture, limit: usize) -> Vec<Key> {
    let (folder, mut paged) = (Key::new("acme/receipts"), Vec::new());
    for _ in 0..100 {
        let page = fixture.store.list(&folder, paged.last(), limit).await;
        let page = page.expect("a page must be answered");
        assert!(page.len() <= limit, "a page has at most {limit} keys, not {}", page.len());
        if page.is_empty() {
            return paged;
        }
        paged.extend(page);
    }
    panic!("paging must come to an end: {paged:?}");
}

/// A listing never leaves its folder: `acme2/…` is not below `acme`.
pub async fn listing_stays_below_its_folder(fixture: Fixture) {
    for key in ["acme/a", "acme/deep/er/b", "acme2/c", "acme-x/d", "acm/e", "other/acme/f"] {
        put(&*fixture.store, key, "x").await;
    }
    let listed = fixture.store.list(&Key::new("acme"), None, 1000).await.expect("a list must be answered");
    assert_eq!(listed, [Key::new("acme/a"), Key::new("acme/deep/er/b")]);
    let outside = Key::new("acme2/c");
    let beyond = fixture.store.list(&Key::new("acme"), Some(&outside), 1000).await.expect("a list must be answered");
    assert!(beyond.is_empty(), "nothing of the folder lies after another folder's key");
}
