//! The suite over the memory store, and proof that the suite finds a store that overwrites.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use super::*;
use crate::testing::contracts::store::{self as contract, Fixture};

fn fixture_of(store: impl Store + Clone) -> Fixture {
    Fixture {
        store: Arc::new(store.clone()),
        second: Arc::new(store),
        leftovers: Box::new(|| async { Vec::new() }.boxed()),
        keep: Box::new(()),
    }
}

mod with_facts {
    async fn fixture() -> super::Fixture {
        super::fixture_of(super::MemoryStore::new())
    }
    crate::store_contract!(fixture);
}

mod without_facts {
    async fn fixture() -> super::Fixture {
        super::fixture_of(super::MemoryStore::without_facts())
    }
    crate::store_contract!(fixture);
}

#[tokio::test]
async fn listing_follows_whole_keys() {
    contract::listing_follows_whole_keys(fixture_of(MemoryStore::new())).await;
}

#[tokio::test]
async fn racing_uploads_have_one_winner() {
    contract::racing_uploads_have_one_winner(fixture_of(MemoryStore::new())).await;
}

async fn fails(test: impl Future<Output = ()>) -> bool {
    AssertUnwindSafe(test).catch_unwind().await.is_err()
}

#[tokio::test]
async fn the_suite_finds_puts_that_overwrite() {
    let store = fixture_of(Careless::with_puts());
    assert!(fails(contract::a_first_put_stores_and_a_second_finds_it(store)).await);
    let store = fixture_of(Careless::with_puts());
    assert!(fails(contract::sixteen_racing_puts_have_one_winner(store)).await);
    let store = fixture_of(Careless::and_silent());
    assert!(fails(contract::a_first_put_stores_and_a_second_finds_it(store)).await);
    let store = fixture_of(Careless::with_puts());
    assert!(fails(contract::the_probe_passes_and_clears_up(store)).await);
}

#[tokio::test]
async fn the_suite_finds_uploads_that_overwrite() {
    let store = fixture_of(Careless::with_uploads());
    assert!(fails(contract::finishing_over_an_object_keeps_the_first(store)).await);
    let store = fixture_of(Careless::with_uploads());
    assert!(fails(contract::racing_uploads_have_one_winner(store)).await);
    let store = fixture_of(Careless::with_uploads());
    assert!(fails(contract::the_probe_passes_and_clears_up(store)).await);
}
