//! A customer's server: answers as it is told and keeps what it was sent. Not the program's own HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// What the server does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Does {
    /// Answers with this status and these header lines.
    Answers(u16, &'static str),
    /// Answers 302 to this place.
    Redirects(String),
    /// Answers 200 and a body that never ends.
    Drips,
    /// Never answers.
    Hangs,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) at: Instant,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether a signature is that of the secret of 32 times `byte`, as a receiver would check it.
    pub(super) fn is_signed_with(&self, byte: u8) -> bool {
        let mut content = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).into_bytes();
        content.extend_from_slice(&self.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let signatures = self.header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let tags: Vec<Vec<u8>> = signatures.map(|one| STANDARD.decode(one).unwrap()).collect();
        let is_recent = |secs: i64| (jiff::Timestamp::now().as_second() - secs).abs() < 300;
        self.header("webhook-timestamp").parse().is_ok_and(is_recent)
            && tags.iter().any(|tag| hmac::verify(&key, &content, tag).is_ok())
    }
}

/// The text of the secret of 32 times `byte`.
pub(super) fn secret(byte: u8) -> String {
    format!("whsec_{}", STANDARD.encode([byte; 32]))
}

#[derive(Debug, Default)]
struct Inner {
    scripts: HashMap<String, Vec<Does>>,
    received: Vec<Received>,
}

/// A running server; dropped, it is gone.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let serving = tokio::spawn(serve(listener, Arc::clone(&inner)));
        Self { address, inner, serving }
    }

    pub(super) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// What comes to `path` is answered so, one after the other, the last for ever.
    pub(super) fn script(&self, path: &str, does: &[Does]) {
        self.inner.lock().unwrap().scripts.insert(path.to_owned(), does.to_vec());
    }

    /// What came to `path`, oldest first.
    pub(super) fn received(&self, path: &str) -> Vec<Received> {
        let is_there = |received: &&Received| received.target.split('?').next() == Some(path);
        self.inner.lock().unwrap().received.iter().filter(is_there).cloned().collect()
    }

    /// Waits until `count` requests came to `path`.
    pub(super) async fn reaches(&self, path: &str, count: usize, within: Duration) -> Vec<Received> {
        let began = Instant::now();
        loop {
            let received = self.received(path);
            if received.len() >= count {
                return received;
            }
            assert!(began.elapsed() < within, "{} of {count} came to {path} within {within:?}", received.len());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Goes away: connections are refused.
    pub(super) fn goes_down(&self) {
        self.serving.abort();
    }

    /// Comes back on the same port.
    pub(super) async fn comes_back(&mut self) {
        let began = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        };
        self.serving = tokio::spawn(serve(listener, Arc::clone(&self.inner)));
    }
}

async fn serve(listener: TcpListener, inner: Arc<Mutex<Inner>>) {
    // Connections end with the server.
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        open.spawn(talk(stream, Arc::clone(&inner)));
    }
}

async fn talk(mut stream: TcpStream, inner: Arc<Mutex<Inner>>) {
    while let Some(received) = read(&mut stream).await {
        let does = {
            let mut inner = inner.lock().unwrap();
            let path = received.target.split('?').next().unwrap_or_default().to_owned();
            inner.received.push(received);
            match inner.scripts.get_mut(&path) {
                Some(does) if does.len() > 1 => does.remove(0),
                Some(does) => does[0].clone(),
                None => Does::Answers(200, ""),
            }
        };
        let head = match does {
            Does::Answers(status, lines) => format!("HTTP/1.1 {status} Said\r\n{lines}Content-Length: 2\r\n\r\n{{}}"),
            Does::Redirects(to) => format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
            Does::Drips => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n".to_owned(),
            Does::Hangs => return std::future::pending().await,
        };
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let fields = lines.filter_map(|line| line.split_once(':'));
    let headers: HashMap<String, String> =
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = bytes.split_off(end);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { at: Instant::now(), method, target, headers, body })
}
