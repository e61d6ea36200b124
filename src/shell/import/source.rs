//! Where a manifest is read from: a file of this machine, packed or not; a manifest at a URL was copied into one before.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;
use url::Url;

use super::broken;
use crate::domain::digest::{Sha256, Sha256Hasher};
use crate::domain::manifest::Format;
use crate::shell::exit::Failure;

const BUFFER_BYTES: usize = 64 * 1024;
/// The format is told by this much of a manifest.
const BEGINNING_BYTES: usize = 64 * 1024;

/// What relative URLs of a manifest start at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A folder: what is no URL is a path in it.
    Folder(PathBuf),
    /// The manifest's own URL.
    Url(Url),
}

impl Origin {
    /// Makes a row's URL whole. What cannot be made whole stays, and fails later by itself.
    #[must_use]
    pub fn resolve(&self, text: &str) -> String {
        if has_scheme(text) {
            return text.to_owned();
        }
        let whole = match self {
            // Parsed once more, for `..` to be resolved as in any URL.
            Self::Folder(folder) => {
                Url::from_file_path(folder.join(text)).ok().and_then(|url| Url::parse(url.as_str()).ok())
            }
            Self::Url(url) => url.join(text).ok(),
        };
        whole.map_or_else(|| text.to_owned(), String::from)
    }
}

/// A scheme has two characters at least: one would be a drive.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(allowed)
}

/// A manifest on this machine.
#[derive(Debug, Clone)]
pub struct Source {
    /// What a person calls it.
    pub name: String,
    /// The file that holds it.
    pub path: PathBuf,
    /// What relative URLs start at.
    pub origin: Origin,
}

impl Source {
    /// Opens it and unpacks it if its first bytes say that it is packed. For a thread that may block, within tokio.
    pub(super) fn open(&self) -> io::Result<Box<dyn BufRead>> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(&self.path)?);
        let magic = file.fill_buf()?;
        let (is_gzip, is_zstd) = (magic.starts_with(b"\x1f\x8b"), magic.starts_with(b"\x28\xb5\x2f\xfd"));
        if !is_gzip && !is_zstd {
            return Ok(Box::new(file));
        }
        let plain =
            tokio::io::BufReader::with_capacity(BUFFER_BYTES, tokio::fs::File::from_std(File::open(&self.path)?));
        let unpacked: Pin<Box<dyn AsyncRead + Send>> = if is_gzip {
            let mut decoder = GzipDecoder::new(plain);
            decoder.multiple_members(true);
            Box::pin(decoder)
        } else {
            let mut decoder = ZstdDecoder::new(plain);
            decoder.multiple_members(true);
            Box::pin(decoder)
        };
        let blocking = Blocking { unpacked, runtime: Handle::current() };
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, blocking)))
    }

    /// Tells the format by the content. For a thread that may block, within tokio.
    ///
    /// # Errors
    /// A file that cannot be read or unpacked, or is of no format that we know.
    pub fn format(&self) -> Result<Format, Failure> {
        let read = || -> io::Result<Vec<u8>> {
            let mut beginning = Vec::new();
            self.open()?.take(BEGINNING_BYTES as u64).read_to_end(&mut beginning)?;
            Ok(beginning)
        };
        let beginning = read().map_err(|error| self.unreadable(&error))?;
        Format::of_content(&beginning).map_err(|error| super::broken(format!("{}: {error}", self.name)))
    }

    /// Returns the digest of the file's bytes. For a thread that may block.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn digest(&self) -> Result<Sha256, Failure> {
        digest(&self.path).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn unreadable(&self, error: &dyn std::fmt::Display) -> Failure {
        broken(format!("{}: cannot be read: {error}", self.name))
    }
}

fn digest(path: &Path) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256Hasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// An asynchronous reader, read from a thread that may block.
struct Blocking {
    unpacked: Pin<Box<dyn AsyncRead + Send>>,
    runtime: Handle,
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(self.unpacked.read(buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_a_path_beside_the_manifest_or_a_url_beside_its_url() {
        let folder = Origin::Folder(PathBuf::from("/data/set"));
        let check = |text: &str, whole: &str| assert_eq!(folder.resolve(text), whole, "{text}");
        check("https://h/a", "https://h/a");
        check("s3://b/k y", "s3://b/k y");
        check("images/a b#1%.jpg", "file:///data/set/images/a%20b%231%25.jpg");
        check("../x.jpg", "file:///data/x.jpg");
        check("/other/x.jpg", "file:///other/x.jpg");
        let url = Origin::Url(Url::parse("https://h/sets/one.csv?sig=1").unwrap());
        assert_eq!(url.resolve("a/b.jpg"), "https://h/sets/a/b.jpg");
        assert_eq!(url.resolve("gs://b/k"), "gs://b/k");
    }
}
