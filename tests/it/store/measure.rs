//! How fast the stores are, with `LONGSHORE_TEST_MEASURE=1` and `--nocapture`; else they only show that the load is borne.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use longshore::adapters::store::file::FileStore;
use longshore::domain::digest::Sha256;
use longshore::domain::object_key::Key;
use longshore::ports::store::{ObjectMeta, PART_BYTES, Put, Store};
use tokio::time::Instant;

const META: ObjectMeta<'static> = ObjectMeta { media_type: "application/octet-stream", facts: None };

/// Sixty-four at once; `spread` over 256 folders as objects are, or in one as receipts are.
async fn puts_per_sec(store: Arc<dyn Store>, count: usize, spread: bool, tag: &str) -> u64 {
    let begun = Instant::now();
    let content = Bytes::from(vec![7; 4096]);
    let puts = futures::stream::iter(0..count).map(|number| {
        let digest = Sha256::of(format!("{tag}{number}").as_bytes()).to_string();
        let key = match spread {
            true => Key::new(format!("acme/objects/{}/{digest}.bin", &digest[..2])),
            false => Key::new(format!("acme/receipts/{digest}.json")),
        };
        let (store, content) = (Arc::clone(&store), content.clone());
        async move {
            let put = tokio::spawn(async move { store.put_if_absent(&key, content, META).await });
            assert_eq!(put.await.expect("no panic").expect("put"), Put::Stored);
        }
    });
    puts.buffer_unordered(64).count().await;
    count as u64 * 1000 / u64::try_from(begun.elapsed().as_millis()).expect("short").max(1)
}

async fn upload_mb_per_sec(store: &dyn Store, mib: usize, tag: &str) -> u64 {
    let part = Bytes::from(vec![9; PART_BYTES]);
    let begun = Instant::now();
    let mut upload = store.begin(&Key::new(format!("acme/objects/ff/{tag}")), META).await.expect("begun");
    for _ in 0..mib / 8 {
        upload.part(part.clone()).await.expect("taken");
    }
    assert_eq!(upload.finish().await.expect("finished"), Put::Stored);
    (mib as u64 * 1_048_576 / 1000) / u64::try_from(begun.elapsed().as_millis()).expect("short").max(1)
}

/// How many puts, and how many MiB of one upload. The large figures need minutes, so they are only taken when asked for.
#[expect(clippy::disallowed_methods, reason = "how long to measure is the test's setting, not the program's")]
fn scale() -> (usize, usize) {
    match std::env::var("LONGSHORE_TEST_MEASURE") {
        Ok(_) => (10_000, 1024),
        Err(_) => (512, 32),
    }
}

async fn measured(name: &str, store: Arc<dyn Store>) {
    let (puts, mib) = scale();
    let tag = uuid::Uuid::now_v7().to_string();
    let spread = puts_per_sec(Arc::clone(&store), puts, true, &tag).await;
    let one = puts_per_sec(Arc::clone(&store), puts, false, &tag).await;
    let mb = upload_mb_per_sec(&*store, mib, &tag).await;
    println!("{name}: {spread} puts/s over 256 folders, {one} puts/s into one, {mb} MB/s for one upload of {mib} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_puts_at_once_and_a_large_upload_are_borne_by_a_folder() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let store = FileStore::open(folder.path()).await.expect("opened");
    measured("folder", Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_puts_at_once_and_a_large_upload_are_borne_by_s3() {
    let store = super::s3::store(&format!("it/{}", uuid::Uuid::now_v7())).await;
    measured("S3", Arc::new(store)).await;
}
