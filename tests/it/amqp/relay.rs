//! A relay between a client and the broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What all connections are told.
#[derive(Clone)]
enum Word {
    Break,
    Say(Vec<u8>),
}

/// Passes bytes on, both ways, and can be told to do harm. Ends when it is dropped.
pub(super) struct Relay {
    port: u16,
    words: broadcast::Sender<Word>,
    consumer_channel: Arc<Mutex<Option<u16>>>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay to `target`; each chunk arrives `delay` later.
    pub(super) async fn start(target: String, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (words, _) = broadcast::channel(16);
        let consumer_channel = Arc::default();
        let (told, seen) = (words.clone(), Arc::clone(&consumer_channel));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), delay, told.subscribe(), Arc::clone(&seen)));
            }
        });
        Self { port, words, consumer_channel, accepting }
    }

    /// Where it listens on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections; new ones are taken.
    pub(super) fn break_all(&self) {
        let _listeners = self.words.send(Word::Break);
    }

    /// Makes the broker close the channel that consumes, by an acknowledgement of nothing in the client's name.
    pub(super) fn spoil_the_consuming_channel(&self) {
        let channel = self.consumer_channel.lock().unwrap().expect("something consumes");
        let mut frame = vec![1];
        frame.extend(channel.to_be_bytes());
        frame.extend(13u32.to_be_bytes());
        frame.extend([0, 60, 0, 80]);
        frame.extend(999_999u64.to_be_bytes());
        frame.extend([0, 0xce]);
        let _listeners = self.words.send(Word::Say(frame));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.break_all();
    }
}

async fn pass(
    client: TcpStream, target: String, delay: Duration, mut words: broadcast::Receiver<Word>,
    consumer_channel: Arc<Mutex<Option<u16>>>,
) {
    let Ok(broker) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let (say, said) = tokio::sync::mpsc::unbounded_channel();
    let (answer, answered) = tokio::sync::mpsc::unbounded_channel();
    let ended = tokio::spawn(read(from_client, say.clone(), delay, Some(consumer_channel)));
    let ended_too = tokio::spawn(read(from_broker, answer, delay, None));
    let writes = [tokio::spawn(write(to_broker, said)), tokio::spawn(write(to_client, answered))];
    let mut reads = futures::future::select(ended, ended_too);
    loop {
        tokio::select! {
            _ = &mut reads => {
                // What was said last still arrives.
                drop(say);
                let flushing = futures::future::join_all(writes);
                let _flushed = tokio::time::timeout(Duration::from_secs(1) + delay, flushing).await;
                return;
            }
            word = words.recv() => match word {
                Ok(Word::Say(bytes)) => { let _sent = say.send((Instant::now(), bytes)); }
                Ok(Word::Break) | Err(_) => break,
            },
        }
    }
    drop(reads);
    writes.iter().for_each(JoinHandle::abort);
}

type Chunk = (Instant, Vec<u8>);

async fn read(
    mut from: impl AsyncReadExt + Unpin, to: tokio::sync::mpsc::UnboundedSender<Chunk>, delay: Duration,
    consumer_channel: Option<Arc<Mutex<Option<u16>>>>,
) {
    let mut chunk = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        if let Some(channel) = consumer_channel.as_ref().zip(consuming_channel(&chunk[..count])) {
            *channel.0.lock().unwrap() = Some(channel.1);
        }
        if to.send((Instant::now() + delay, chunk[..count].to_vec())).is_err() {
            return;
        }
    }
}

async fn write(mut to: impl AsyncWriteExt + Unpin, mut from: tokio::sync::mpsc::UnboundedReceiver<Chunk>) {
    while let Some((due, chunk)) = from.recv().await {
        sleep_until(due).await;
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// Returns the channel on which `basic.consume` (class 60, method 20) is said, if it is.
fn consuming_channel(bytes: &[u8]) -> Option<u16> {
    let method = bytes.windows(4).position(|window| window == [0, 60, 0, 20])?;
    let head = bytes.get(method.checked_sub(7)?..method)?;
    (head[0] == 1).then(|| u16::from_be_bytes([head[1], head[2]]))
}
