//! A sender that writes AMQP by hand: what no client library would let it send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bed;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// A connection with a channel whose publishing is confirmed.
struct Hand(TcpStream);

impl Hand {
    async fn connect() -> Self {
        let url = url::Url::parse(bed::rabbit_url()).unwrap();
        let stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).await.unwrap();
        let mut hand = Self(stream);
        hand.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        hand.answered([0, 10, 0, 10]).await;
        let plain = format!("\0{}\0{}", url.username(), url.password().unwrap());
        hand.call(
            0,
            &[b"\0\x0A\0\x0B\0\0\0\0", &short(b"PLAIN")[..], &long(plain.as_bytes()), &short(b"en_US")].concat(),
        )
        .await;
        let tune = hand.answered([0, 10, 0, 30]).await;
        hand.call(0, &[b"\0\x0A\0\x1F", &tune[..6], &[0, 0]].concat()).await;
        hand.call(0, b"\0\x0A\0\x28\x01/\0\0").await;
        hand.answered([0, 10, 0, 41]).await;
        hand.call(1, b"\0\x14\0\x0A\0").await;
        hand.answered([0, 20, 0, 11]).await;
        hand.call(1, b"\0\x55\0\x0A\0").await;
        hand.answered([0, 85, 0, 11]).await;
        hand
    }

    async fn call(&mut self, channel: u8, method: &[u8]) {
        self.send(METHOD, channel, method).await;
    }

    async fn send(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&[kind, 0, channel], &length[..], payload, &[0xCE]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// Waits for a method and returns its arguments.
    async fn answered(&mut self, wanted: [u8; 4]) -> Vec<u8> {
        loop {
            let mut head = [0; 7];
            self.0.read_exact(&mut head).await.unwrap();
            let [kind, _, _, length @ ..] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() + 1];
            self.0.read_exact(&mut payload).await.unwrap();
            if kind == HEARTBEAT {
                continue;
            }
            assert_eq!(&payload[..4], wanted, "{}", String::from_utf8_lossy(&payload));
            return payload[4..payload.len() - 1].to_vec();
        }
    }
}

/// Publishes to `queue`, and waits until the broker has it.
pub(crate) async fn publish(queue: &str, properties: &[u8], body: &[u8]) {
    let mut hand = Hand::connect().await;
    hand.call(1, &[b"\0\x3C\0\x28\0\0\0", &short(queue.as_bytes())[..], &[0]].concat()).await;
    let length = u64::try_from(body.len()).unwrap().to_be_bytes();
    hand.send(HEADER, 1, &[b"\0\x3C\0\0", &length[..], properties].concat()).await;
    hand.send(BODY, 1, body).await;
    hand.answered([0, 60, 0, 80]).await;
}

/// Properties with a header that is a list in a list, `levels` deep.
pub(crate) fn nested(levels: u32) -> Vec<u8> {
    let list = (0..levels).flat_map(|level| [&b"A"[..], &(5 * (levels - 1 - level)).to_be_bytes()].concat());
    let table = [short(b"nested"), list.collect()].concat();
    [&[0x20, 0], &long(&table)[..]].concat()
}

/// Properties whose header's name and message id are Latin-1.
pub(crate) fn latin_1() -> Vec<u8> {
    let table = [short(b"\xFCber"), b"S".to_vec(), long(b"\xE4")].concat();
    [&[0x20, 0x80], &long(&table)[..], &short(b"caf\xE9")].concat()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}
