//! The store's contract on a folder, and what SIGKILL leaves there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use longshore::adapters::store::file::FileStore;
use longshore::domain::digest::Sha256;
use longshore::domain::object_key::Key;
use longshore::ports::store::{ObjectMeta, Put, Store, StoreError};
use longshore::store_contract;
use longshore::testing::contracts::store::{self as contract, Fixture};

const META: ObjectMeta<'static> = ObjectMeta { media_type: "application/octet-stream", facts: None };

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || async { Arc::new(FileStore::open(folder.path()).await.expect("opened")) };
    let (store, second) = (open().await, open().await);
    let root = folder.path().to_owned();
    Fixture {
        store,
        second,
        leftovers: Box::new(move || {
            let left = temporaries(&root);
            async { left }.boxed()
        }),
        keep: Box::new(folder),
    }
}

store_contract!(fixture);

#[tokio::test]
async fn listing_follows_whole_keys() {
    contract::listing_follows_whole_keys(fixture().await).await;
}

#[tokio::test]
async fn racing_uploads_have_one_winner() {
    contract::racing_uploads_have_one_winner(fixture().await).await;
}

fn temporaries(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("_tmp")).expect("the temporary folder is there");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.collect()
}

fn refusal(error: StoreError) -> String {
    match error {
        StoreError::Refused(sentence) => sentence,
        StoreError::Unavailable(_) | StoreError::Corrupt(_) => panic!("not a refusal: {error}"),
    }
}

#[tokio::test]
async fn a_file_where_a_folder_should_be_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(folder.path()).await.expect("opened");
    std::fs::write(folder.path().join("acme"), "in the way").expect("written");
    let put = store.put_if_absent(&Key::new("acme/objects/ab/x"), Bytes::new(), META).await;
    let sentence = refusal(put.expect_err("a file is in the way"));
    assert!(sentence.contains("/acme") && !sentence.contains("/acme/objects"), "{sentence}");
    assert!(sentence.contains("where a folder should be"), "{sentence}");

    let in_file = folder.path().join("acme").join("store");
    let sentence = refusal(FileStore::open(in_file).await.expect_err("a file is no root"));
    assert!(sentence.contains("where a folder should be"), "{sentence}");
}

#[tokio::test]
async fn a_folder_where_a_file_should_be_is_refused_and_never_said_to_exist() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(folder.path()).await.expect("opened");
    std::fs::create_dir_all(folder.path().join("acme/objects")).expect("made");
    let key = Key::new("acme/objects");
    let put = store.put_if_absent(&key, Bytes::from_static(b"x"), META).await;
    assert!(refusal(put.expect_err("a folder is there")).contains("folder stands where a file"));
    let overwritten = store.overwrite(&key, Bytes::from_static(b"x")).await;
    refusal(overwritten.expect_err("a folder is there"));
    assert!(temporaries(folder.path()).is_empty(), "a refused put leaves nothing");
}

#[tokio::test]
async fn the_folder_for_temporary_files_holds_no_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(folder.path()).await.expect("opened");
    let key = Key::new("_tmp/x");
    refusal(store.put_if_absent(&key, Bytes::new(), META).await.expect_err("the store's own"));
    refusal(store.list(&Key::new("_tmp"), None, 10).await.expect_err("the store's own"));
}

#[tokio::test]
async fn a_root_that_went_away_is_not_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("store");
    let store = FileStore::open(&root).await.expect("opened");
    std::fs::remove_dir_all(&root).expect("unmounted, as it were");
    let error = store.check().await.expect_err("it is gone");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let put = store.put_if_absent(&Key::new("acme/x"), Bytes::new(), META).await;
    assert!(matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
    assert!(!root.exists(), "what is written below an empty mount point is lost");
}

#[tokio::test]
async fn folders_that_were_cleared_away_are_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(folder.path()).await.expect("opened");
    for _ in 0..2 {
        let put = store.put_if_absent(&Key::new("acme/objects/ab/x"), Bytes::new(), META).await;
        assert_eq!(put.expect("put"), Put::Stored);
        std::fs::remove_dir_all(folder.path().join("acme")).expect("cleared away");
    }
}

#[tokio::test]
async fn addresses_are_file_urls_that_name_the_very_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(folder.path().join("with space")).await.expect("opened");
    let key = Key::new("acme/receipts/t:1~2.json");
    store.put_if_absent(&key, Bytes::from_static(b"x"), META).await.expect("put");
    let uri = store.uri(&key);
    assert!(uri.starts_with("file:///") && uri.ends_with("/with%20space/acme/receipts/t:1~2.json"), "{uri}");
    let path = url::Url::parse(&uri).expect("a URL").to_file_path().expect("a path");
    assert_eq!(std::fs::read(path).expect("there"), b"x");
}

const CHILD_ROOT: &str = "LONGSHORE_TEST_PUT_FOREVER";

#[expect(clippy::disallowed_methods, reason = "the parent tells its child by it, not the operator the program")]
fn child_root() -> Option<PathBuf> {
    std::env::var_os(CHILD_ROOT).map(PathBuf::from)
}

/// The child's life: single puts, uploads and overwrites, until it is killed. A key names the digest of its content.
async fn put_forever(root: PathBuf) {
    let store = FileStore::open(root).await.expect("opened");
    for number in 0_u64.. {
        let content = Bytes::from(number.to_le_bytes().repeat(40_000));
        let key = |kind: &str| Key::new(format!("acme/{kind}/{:02x}/{}", number % 7, Sha256::of(&content)));
        let put = async { store.put_if_absent(&key("put"), content.clone(), META).await };
        let upload = async {
            let mut upload = store.begin(&key("upload"), META).await?;
            for part in [content.slice(..100_000), content.slice(100_000..)] {
                upload.part(part).await?;
            }
            upload.finish().await
        };
        let (put, upload) = tokio::join!(put, upload);
        put.and(upload).expect("the child's puts work");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Thirty processes are killed in the middle of their puts. Whatever is visible then has the digest that its name tells, and
/// the next to open the store clears what they left.
#[tokio::test]
async fn a_killed_writer_never_leaves_half_a_file() {
    if let Some(root) = child_root() {
        return put_forever(root).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("store");
    let mut torn = 0;
    for life in 0..30_u64 {
        let test = std::env::current_exe().expect("this program");
        let name = "store::file::a_killed_writer_never_leaves_half_a_file";
        let mut child = Command::new(test)
            .args(["--exact", name])
            .env(CHILD_ROOT, &root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        // Uneven, so that the deaths fall into all steps of a put.
        tokio::time::sleep(Duration::from_millis(90 + life * 37 % 111)).await;
        child.kill().expect("killed");
        let status = child.wait().expect("waited for");
        assert!(!status.success(), "the child was killed, not done");
        torn += usize::from(root.join("_tmp").exists() && !temporaries(&root).is_empty());
    }
    let whole = ["put", "upload"].map(|kind| {
        let files = files_below(&root.join("acme").join(kind));
        for file in &files {
            let content = std::fs::read(file).expect("readable");
            let name = file.file_name().expect("named").to_string_lossy().into_owned();
            assert_eq!(Sha256::of(&content).to_string(), name, "{} must be whole", file.display());
        }
        files.len()
    });
    assert!(whole.iter().all(|files| *files > 0), "the children did get to put: {whole:?}");
    assert!(torn > 0, "some children must have died in the middle of a put, else nothing is shown");
    FileStore::open(&root).await.expect("opened");
    assert!(temporaries(&root).is_empty(), "what the dead left is cleared");
}
