//! Opens files of this machine, below the folders that the operator named and nowhere else.
//!
//! Symbolic links are resolved first, and the opened handle is looked at again: neither a link nor a folder that is swapped
//! meanwhile leads out. Only regular files are read, never the store's own. A file names no version: its times and inode stay
//! the same through a rewrite within one tick of the file system's clock, and anybody may set them.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::source::Source;
use crate::ports::fetcher::{Announced, BodyStream, FetchRequest, Fetched, Fetcher, Want};

/// Size of the blocks that are read.
const BLOCK_BYTES: usize = 256 << 10;

/// Which files may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Folders below which files are read; without one, none is.
    pub roots: Vec<PathBuf>,
    /// Whether a team reads only below `ROOT/TEAM/`, as is due to tasks from a queue.
    pub per_team: bool,
    /// Folders that are never read, wherever they lie: the store's own.
    pub excluded: Vec<PathBuf>,
    /// Longest file in bytes.
    pub bytes_max: u64,
}

/// Opens files.
#[derive(Debug, Clone)]
pub struct FileFetcher {
    options: Arc<FileOptions>,
}

impl FileFetcher {
    /// A fetcher for what `options` allow.
    #[must_use]
    pub fn new(options: FileOptions) -> Self {
        Self { options: Arc::new(options) }
    }
}

#[async_trait]
impl Fetcher for FileFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let Source::File(path) = request.source else {
            return Err(outside("only files are opened here"));
        };
        if matches!(request.want, Want::Rest { .. }) {
            return Err(AttachmentFault::new(Code::Truncated, "files give no ranges"));
        }
        let (options, team) = (Arc::clone(&self.options), request.team.id.clone());
        let open = move || open(&options, &team, &path);
        let opened = tokio::task::spawn_blocking(open).await.map_err(ended)??;
        let last_modified = opened.modified();
        let length = opened.metadata.len();
        let body = match request.want {
            Want::Body => blocks(opened),
            Want::Head | Want::Rest { .. } => stream::empty().boxed(),
        };
        Ok(Fetched {
            version: SourceVersion { last_modified, ..SourceVersion::default() },
            length: Some(length),
            resumable: false,
            announced: Announced::default(),
            hops: Vec::new(),
            body,
        })
    }
}

/// A file that may be read, as it was when it was opened.
struct Opened {
    file: File,
    metadata: Metadata,
}

impl Opened {
    fn modified(&self) -> Option<Timestamp> {
        Timestamp::try_from(self.metadata.modified().ok()?).ok()
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        let now = self.file.metadata()?;
        Ok(now.len() == self.metadata.len() && now.modified()? == self.metadata.modified()?)
    }
}

fn open(options: &FileOptions, team: &TeamId, path: &Path) -> Result<Opened, AttachmentFault> {
    let place = Allowed::of(options, team);
    let (found, rest) = resolve(path).map_err(|fault| untold(options, path, fault))?;
    place.check(&found.join(&rest))?;
    if !rest.as_os_str().is_empty() {
        return Err(AttachmentFault::new(Code::NotFound, "there is no such file"));
    }
    // A look before the opening: opening a FIFO or a device does something to it.
    regular(&found.metadata().map_err(|error| of_io(&error))?)?;
    let file = File::open(&found).map_err(|error| of_io(&error))?;
    let metadata = file.metadata().map_err(|error| of_io(&error))?;
    regular(&metadata)?;
    let opened = path_of(&file, &found).map_err(|error| of_io(&error))?;
    place.check(&opened)?;
    let looked = opened.metadata().map_err(|error| of_io(&error))?;
    if !is_same(&metadata, &looked) {
        return Err(AttachmentFault::new(Code::NotFound, "the file was replaced while it was opened"));
    }
    if metadata.len() > options.bytes_max {
        let message = format!("the file is larger than {} bytes", options.bytes_max);
        return Err(AttachmentFault::new(Code::TooLarge, message));
    }
    Ok(Opened { file, metadata })
}

/// What the disk said of a path outside the roots is nobody's business.
fn untold(options: &FileOptions, path: &Path, fault: AttachmentFault) -> AttachmentFault {
    if options.roots.iter().any(|root| path.starts_with(root)) {
        fault
    } else {
        outside("the file lies outside the folders that may be read")
    }
}

/// Where a team may read, with all links resolved.
struct Allowed {
    roots: Vec<PathBuf>,
    excluded: Vec<PathBuf>,
}

impl Allowed {
    fn of(options: &FileOptions, team: &TeamId) -> Self {
        let root = |root: &PathBuf| {
            let root = root.canonicalize().ok()?;
            if !options.per_team {
                return Some(root);
            }
            // A team's folder that is a link out of the root is as good as none.
            let own = root.join(team.as_str()).canonicalize().ok()?;
            own.starts_with(&root).then_some(own)
        };
        let excluded = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
        Self {
            roots: options.roots.iter().filter_map(root).collect(),
            excluded: options.excluded.iter().map(excluded).collect(),
        }
    }

    fn check(&self, path: &Path) -> Result<(), AttachmentFault> {
        if self.excluded.iter().any(|folder| path.starts_with(folder)) {
            let message = "the store's own folder is never a source";
            return Err(AttachmentFault::new(Code::BucketNotAllowed, message));
        }
        let below = |root: &PathBuf| path.starts_with(root) && path != root;
        if !self.roots.iter().any(below) {
            return Err(outside("the file lies outside the folders that may be read"));
        }
        Ok(())
    }
}

/// Resolves the part of `path` that is there, and returns it with the part that is not.
fn resolve(path: &Path) -> Result<(PathBuf, PathBuf), AttachmentFault> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        return Err(outside("the file's path is not a plain absolute one"));
    }
    for there in path.ancestors() {
        match there.canonicalize() {
            Ok(found) => {
                let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok((found, rest.to_owned()));
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(of_io(&error)),
        }
    }
    Err(outside("the file's path leads nowhere"))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename)
}

fn regular(metadata: &Metadata) -> Result<(), AttachmentFault> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(outside("only regular files are read"))
}

/// Where an opened file really lies; systems that do not tell are asked for the path once more.
fn path_of(file: &File, path: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    let told = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    told.or_else(|_| path.canonicalize())
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The file's blocks, each read off the threads that serve others. Dropped, it closes the file after the block at hand.
fn blocks(opened: Opened) -> BodyStream {
    let left = opened.metadata.len();
    stream::unfold(Some((opened, left)), |state| async {
        let (opened, left) = state?;
        let read = tokio::task::spawn_blocking(move || next_block(opened, left)).await;
        match read.map_err(ended).flatten() {
            Ok(Some((block, opened, left))) => Some((Ok(block), Some((opened, left)))),
            Ok(None) => None,
            Err(fault) => Some((Err(fault), None)),
        }
    })
    .boxed()
}

fn next_block(mut opened: Opened, left: u64) -> Result<Option<(Bytes, Opened, u64)>, AttachmentFault> {
    if left == 0 {
        let unchanged = opened.is_unchanged().map_err(|error| of_io(&error))?;
        return if unchanged { Ok(None) } else { Err(changed()) };
    }
    let wanted = usize::try_from(left).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
    let mut block = BytesMut::zeroed(wanted);
    match opened.file.read_exact(&mut block) {
        Ok(()) => Ok(Some((block.freeze(), opened, left - wanted as u64))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(changed()),
        Err(error) => Err(of_io(&error)),
    }
}

fn changed() -> AttachmentFault {
    AttachmentFault::new(Code::ChecksumMismatch, "the file changed while it was read")
}

fn outside(message: &str) -> AttachmentFault {
    AttachmentFault::new(Code::UnsupportedScheme, message)
}

fn ended(_: tokio::task::JoinError) -> AttachmentFault {
    AttachmentFault::new(Code::Internal, "the reading thread ended")
}

fn of_io(error: &io::Error) -> AttachmentFault {
    match error.kind() {
        io::ErrorKind::PermissionDenied => AttachmentFault::new(Code::AccessDenied, "the file may not be read"),
        io::ErrorKind::NotFound => AttachmentFault::new(Code::NotFound, "there is no such file"),
        // A foreign enum: what else a disk says may pass.
        _ => AttachmentFault::new(Code::Unavailable, "the file could not be read"),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
