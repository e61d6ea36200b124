//! Just enough HTTP to ask the bed's services: one request a connection, answers by length or until close.
//!
//! Not the program's own fetch path, so that the checker does not believe what it checks.

use std::net::SocketAddr;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer whose body was kept.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What a body was, without keeping it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Content {
    /// The content `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut digest = Digest::default();
        digest.update(bytes);
        digest.finish()
    }
}

/// Digests a stream.
pub(crate) struct Digest {
    context: Context,
    bytes: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0 }
    }
}

impl Digest {
    /// Goes on with `piece`.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.context.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// What it was.
    pub(crate) fn finish(self) -> Content {
        let digest = self.context.finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Content { bytes: self.bytes, sha256 }
    }
}

/// Asks and keeps the answer; `headers` are whole lines with their line ends.
pub(crate) async fn ask(address: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
    let (status, mut stream, mut kept) = open(address, method, target, headers, body).await;
    stream.read_to_end(&mut kept).await.unwrap();
    Answer { status, body: kept }
}

/// Asks for a body and digests it as it comes.
pub(crate) async fn digest_of(address: SocketAddr, target: &str) -> Content {
    let (status, mut stream, rest) = open(address, "GET", target, "", b"").await;
    assert_eq!(status, 200, "the origin does not serve {target}");
    let mut digest = Digest::default();
    digest.update(&rest);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => return digest.finish(),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// Sends a request and reads the head; returns what was read beyond it.
async fn open(
    address: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8],
) -> (u16, TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{target}: the answer ended in its head");
    };
    let status = String::from_utf8_lossy(&read[..end]).split(' ').nth(1).unwrap().parse().unwrap();
    (status, stream, read.split_off(end))
}
