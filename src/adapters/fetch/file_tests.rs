//! Files below the roots and all the ways that lead out of them.

use super::*;
use crate::domain::team::{KnownTeam, Team};
use futures::TryStreamExt;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

struct Place {
    folder: TempDir,
    fetcher: FileFetcher,
}

fn place(per_team: bool) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["root/acme/sub", "root/other", "root/acme/store", "outside"] {
        std::fs::create_dir_all(path(name)).unwrap();
    }
    for name in ["root/acme/a.txt", "root/acme/sub/b", "root/other/c", "root/acme/store/d", "outside/e"] {
        std::fs::write(path(name), name).unwrap();
    }
    symlink(path("outside/e"), path("root/acme/link-out")).unwrap();
    symlink(path("outside"), path("root/acme/folder-out")).unwrap();
    symlink(path("root/other"), path("root/acme/folder-other")).unwrap();
    symlink(path("root/acme/a.txt"), path("root/acme/link-in")).unwrap();
    symlink(path("root/acme/none"), path("root/acme/dangling")).unwrap();
    symlink(path("root"), path("root-link")).unwrap();
    let options = FileOptions {
        roots: vec![path("missing-root"), path("root")],
        per_team,
        excluded: vec![path("root/acme/store")],
        bytes_max: 1 << 20,
    };
    Place { fetcher: FileFetcher::new(options), folder }
}

async fn open(place: &Place, path: &str, want: Want) -> Result<Fetched, AttachmentFault> {
    let id = TeamId::new("acme").unwrap();
    let team = Arc::new(KnownTeam { id, record: Team::default() });
    let source = Source::File(place.folder.path().join(path));
    place.fetcher.open(FetchRequest { team, source, grant: crate::domain::access::Grant::None, want }).await
}

async fn read(place: &Place, path: &str) -> Result<Vec<u8>, Code> {
    let fetched = open(place, path, Want::Body).await.map_err(|fault| fault.code)?;
    let pieces: Vec<_> = fetched.body.try_collect().await.map_err(|fault: AttachmentFault| fault.code)?;
    let bytes = pieces.concat();
    assert_eq!(fetched.length, Some(bytes.len() as u64));
    Ok(bytes)
}

async fn check(place: &Place, path: &str, expected: Result<&str, Code>) {
    let expected = expected.map(|text| text.as_bytes().to_vec());
    assert_eq!(read(place, path).await, expected, "{path}");
}

#[tokio::test]
async fn regular_files_below_a_root_are_read_through_links_that_stay_below() {
    let place = place(false);
    for path in ["root/acme/a.txt", "root/acme/link-in", "root-link/acme/a.txt"] {
        check(&place, path, Ok("root/acme/a.txt")).await;
    }
    check(&place, "root/other/c", Ok("root/other/c")).await;
    check(&place, "root/acme/folder-other/c", Ok("root/other/c")).await;
}

#[tokio::test]
async fn a_team_reads_only_below_its_own_folder() {
    let place = place(true);
    check(&place, "root/acme/sub/b", Ok("root/acme/sub/b")).await;
    for path in ["root/other/c", "root/acme/folder-other/c", "root/none", "root/acme"] {
        check(&place, path, Err(Code::UnsupportedScheme)).await;
    }
    check(&place, "root/acme/none", Err(Code::NotFound)).await;
}

#[tokio::test]
async fn nothing_outside_is_read_or_told_of() {
    let place = place(false);
    for path in [
        "outside/e",
        "outside/none",
        "root/acme/link-out",
        "root/acme/folder-out/e",
        "root/acme/folder-out/none",
        "root/acme/../../outside/e",
        "root/none/../../outside/e",
        "root",
        "root-other",
        "missing-root/x",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/null",
        "relative",
    ] {
        check(&place, path, Err(Code::UnsupportedScheme)).await;
    }
}

#[tokio::test]
async fn what_is_missing_below_a_root_is_not_found() {
    let place = place(false);
    for path in ["root/acme/none", "root/acme/none/deep", "root/acme/a.txt/x", "root/acme/dangling", "root/zzz/x"] {
        check(&place, path, Err(Code::NotFound)).await;
    }
}

#[tokio::test]
async fn the_stores_own_folder_is_never_a_source() {
    let place = place(false);
    for path in ["root/acme/store/d", "root/acme/store/none", "root/acme/store", "root-link/acme/store/d"] {
        check(&place, path, Err(Code::BucketNotAllowed)).await;
    }
}

#[tokio::test]
async fn folders_sockets_and_fifos_are_no_files() {
    let place = place(false);
    let socket = place.folder.path().join("root/acme/socket");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let fifo = place.folder.path().join("root/acme/fifo");
    assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
    for path in ["root/acme/socket", "root/acme/fifo", "root/acme/sub"] {
        check(&place, path, Err(Code::UnsupportedScheme)).await;
    }
}

#[tokio::test]
async fn long_files_come_in_blocks_and_longer_ones_not_at_all() {
    let place = place(false);
    let path = |name: &str| place.folder.path().join("root").join(name);
    let bytes: Vec<u8> = (0..=255).cycle().take(BLOCK_BYTES * 3 + 7).collect();
    std::fs::write(path("long"), &bytes).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("longer"), vec![0; (1 << 20) + 1]).unwrap();
    assert!(read(&place, "root/long").await.unwrap() == bytes);
    check(&place, "root/empty", Ok("")).await;
    check(&place, "root/longer", Err(Code::TooLarge)).await;
}

#[tokio::test]
async fn a_file_that_changes_under_the_reader_is_no_whole_file() {
    let place = place(false);
    let path = place.folder.path().join("root/long");
    std::fs::write(&path, vec![1; BLOCK_BYTES * 2]).unwrap();
    for change in [BLOCK_BYTES, BLOCK_BYTES * 4] {
        let mut fetched = open(&place, "root/long", Want::Body).await.unwrap();
        fetched.body.next().await.unwrap().unwrap();
        std::fs::write(&path, vec![2; change]).unwrap();
        let rest: Result<Vec<_>, _> = fetched.body.try_collect().await;
        assert_eq!(rest.unwrap_err().code, Code::ChecksumMismatch);
        std::fs::write(&path, vec![1; BLOCK_BYTES * 2]).unwrap();
    }
}

#[tokio::test]
async fn a_head_tells_the_size_and_names_no_version() {
    let place = place(false);
    let head = open(&place, "root/other/c", Want::Head).await.unwrap();
    assert_eq!((head.length, head.version.pin(), head.resumable), (Some(12), None, false));
    assert!(head.version.last_modified.is_some());
    assert_eq!(head.body.count().await, 0);
    let rest = Want::Rest { from: 1, version: SourceVersion::default() };
    assert_eq!(open(&place, "root/other/c", rest).await.unwrap_err().code, Code::Truncated);
}
