//! A way to an HTTP service that can be cut and opened again, and that notes what is asked through it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A request head ends within so many bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// One request as it passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) method: String,
    pub(crate) target: String,
    /// What an AWS JSON service is asked to do, as `ReceiveMessage`; empty elsewhere.
    pub(crate) operation: String,
}

/// A way on 127.0.0.1 to `upstream`. Dropped, it is cut.
pub(crate) struct Way {
    upstream: String,
    port: u16,
    opened: Option<Opened>,
    notes: Arc<Notes>,
}

struct Opened {
    cut: CancellationToken,
    broken: Arc<Mutex<CancellationToken>>,
    running: TaskTracker,
}

#[derive(Default)]
struct Notes {
    asked: Mutex<Vec<Asked>>,
    answered_bytes: AtomicU64,
    holds_answers: watch::Sender<bool>,
    /// All that passed, both ways, where somebody wants it.
    words: Mutex<Option<Vec<u8>>>,
}

impl Notes {
    fn note(&self, passed: &[u8]) {
        if let Some(words) = &mut *self.words.lock().unwrap() {
            words.extend_from_slice(passed);
        }
    }
}

impl Way {
    /// Opens a way to `upstream`, an `http://` endpoint.
    pub(crate) async fn open(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut way = Self { upstream, port, opened: None, notes: Arc::default() };
        way.listen(listener);
        way
    }

    /// Where the service is found by this way.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Refuses connections from now on, and breaks those that there are.
    pub(crate) async fn cut(&mut self) {
        let opened = self.opened.take().expect("a way is cut once");
        opened.cut.cancel();
        opened.running.wait().await;
    }

    /// Takes connections again, at the same place.
    pub(crate) async fn reopen(&mut self) {
        for _ in 0..100 {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", self.port)).await {
                return self.listen(listener);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("somebody else has taken port {}", self.port);
    }

    /// Breaks the connections that there are; new ones are taken.
    pub(crate) fn break_all(&self) {
        let opened = self.opened.as_ref().expect("the way is open");
        std::mem::take(&mut *opened.broken.lock().unwrap()).cancel();
    }

    /// Keeps answers to itself from now on.
    pub(crate) fn hold_answers(&self) {
        self.notes.holds_answers.send_replace(true);
    }

    /// Passes on the answers that it has kept, and those that follow.
    pub(crate) fn release_answers(&self) {
        self.notes.holds_answers.send_replace(false);
    }

    /// What was asked so far, oldest first.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.notes.asked.lock().unwrap().clone()
    }

    /// How many bytes of answers have passed so far.
    pub(crate) fn answered_bytes(&self) -> u64 {
        self.notes.answered_bytes.load(Ordering::Relaxed)
    }

    /// Keeps all that passes from now on, both ways.
    pub(crate) fn keep_words(&self) {
        self.notes.words.lock().unwrap().get_or_insert_default();
    }

    /// What was kept.
    pub(crate) fn words(&self) -> String {
        String::from_utf8_lossy(self.notes.words.lock().unwrap().as_deref().unwrap_or_default()).into_owned()
    }

    fn listen(&mut self, listener: TcpListener) {
        let (cut, broken, running) = (CancellationToken::new(), Arc::default(), TaskTracker::new());
        self.opened = Some(Opened { cut: cut.clone(), broken: Arc::clone(&broken), running: running.clone() });
        let (upstream, notes, connections) = (self.upstream.clone(), Arc::clone(&self.notes), running.clone());
        running.spawn(async move {
            while let Some(Ok((client, _))) = cut.run_until_cancelled(listener.accept()).await {
                let (cut, broken) = (cut.clone(), broken.lock().unwrap().clone());
                let passing = pass(client, upstream.clone(), Arc::clone(&notes));
                connections.spawn(async move {
                    tokio::select! {
                        () = passing => {}
                        () = cut.cancelled() => {}
                        () = broken.cancelled() => {}
                    }
                });
            }
        });
        running.close();
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(opened) = &self.opened {
            opened.cut.cancel();
        }
    }
}

/// Passes bytes on, both ways, until one side ends.
async fn pass(client: TcpStream, upstream: String, notes: Arc<Notes>) {
    let Ok(server) = TcpStream::connect(&upstream).await else {
        return;
    };
    // Neither end waits for more to send with what is small.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let questions = async {
        let (mut chunk, mut reading) = (vec![0; 64 * 1024], Reading::default());
        while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
            notes.asked.lock().unwrap().extend(reading.heads_in(&chunk[..count]));
            notes.note(&chunk[..count]);
            if to_server.write_all(&chunk[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let answers = async {
        let (mut chunk, mut holds) = (vec![0; 64 * 1024], notes.holds_answers.subscribe());
        while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
            drop(holds.wait_for(|holds| !holds).await);
            notes.answered_bytes.fetch_add(count as u64, Ordering::Relaxed);
            notes.note(&chunk[..count]);
            if to_client.write_all(&chunk[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_client.shutdown().await;
    };
    tokio::join!(questions, answers);
}

/// Reads the heads of requests out of what a client sends.
#[derive(Default)]
struct Reading {
    head: Vec<u8>,
    body_bytes_left: u64,
    /// The client sends what this reader does not understand.
    is_lost: bool,
}

impl Reading {
    fn heads_in(&mut self, mut chunk: &[u8]) -> Vec<Asked> {
        let mut asked = Vec::new();
        while !chunk.is_empty() && !self.is_lost {
            let skipped = usize::try_from(self.body_bytes_left).unwrap_or(usize::MAX).min(chunk.len());
            self.body_bytes_left -= skipped as u64;
            chunk = &chunk[skipped..];
            let known = self.head.len();
            self.head.extend_from_slice(chunk);
            let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                self.is_lost = self.head.len() > HEAD_BYTES_MAX;
                return asked;
            };
            chunk = &chunk[end + 4 - known..];
            let head = String::from_utf8_lossy(&self.head[..end]).into_owned();
            self.head.clear();
            self.body_bytes_left = field(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            self.is_lost = field(&head, "transfer-encoding").is_some();
            asked.push(of_head(&head));
        }
        asked
    }
}

fn of_head(head: &str) -> Asked {
    let mut words = head.split([' ', '\r']).map(str::to_owned);
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Asked {
        at_ms: u64::try_from(at.as_millis()).unwrap(),
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        operation: field(head, "x-amz-target").and_then(|text| text.rsplit('.').next()).unwrap_or_default().to_owned(),
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

#[cfg(test)]
mod tests {
    use super::Reading;

    #[test]
    fn heads_are_read_however_the_bytes_come() {
        let sent =
            b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n\
                     GET /b/k%20?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
        for size in [1, 2, 7, 1000] {
            let mut reading = Reading::default();
            let asked: Vec<_> = sent.chunks(size).flat_map(|chunk| reading.heads_in(chunk)).collect();
            let found: Vec<_> = asked.iter().map(|asked| (&*asked.method, &*asked.target, &*asked.operation)).collect();
            assert_eq!(found, [("POST", "/", "SendMessage"), ("GET", "/b/k%20?x=1", "")], "in pieces of {size}");
        }
    }
}
