//! A server of raw bytes: it says exactly what a test wants to be said, and breaks exactly where.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A request's head as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: HashMap<String, String>,
}

/// What the server does next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Sends the bytes again and again, with a wait before each.
    Forever(Vec<u8>, Duration),
    /// Ends the connection with a reset instead of an end.
    Reset,
}

type Reply = dyn Fn(&Asked) -> Vec<Step> + Send + Sync;

/// A listening server; dropped, it is gone.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(reply: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", reply).await
    }

    pub(crate) async fn start_on(address: &str, reply: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free loopback port");
        let address = listener.local_addr().unwrap();
        let (seen, peers) = (Arc::default(), Arc::default());
        let task = tokio::spawn(serve(listener, Arc::new(reply), Arc::clone(&seen), Arc::clone(&peers)));
        Self { address, seen, peers, task }
    }

    /// A server that always says the same.
    pub(crate) async fn saying(steps: Vec<Step>) -> Self {
        Self::start(move |_| steps.clone()).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// Connections that were accepted, whether anything was asked on them or not.
    pub(crate) fn connections(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// Whom they came from.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap().clone()
    }
}

async fn serve(
    listener: TcpListener, reply: Arc<Reply>, seen: Arc<Mutex<Vec<Asked>>>, peers: Arc<Mutex<Vec<SocketAddr>>>,
) {
    let mut open = JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            return;
        };
        peers.lock().unwrap().push(peer);
        let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
        open.spawn(async move {
            // A client that hangs up is part of many tests.
            let _ = converse(stream, &*reply, &seen).await;
        });
    }
}

async fn converse(mut stream: TcpStream, reply: &Reply, seen: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let asked = read_head(&mut stream).await?;
    seen.lock().unwrap().push(asked.clone());
    for step in reply(&asked) {
        if matches!(step, Step::Reset) {
            return stream.set_zero_linger();
        }
        play(&mut stream, step).await?;
    }
    stream.shutdown().await
}

pub(crate) async fn play(stream: &mut (impl AsyncWrite + Unpin), step: Step) -> std::io::Result<()> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await?,
        Step::Wait(time) => {
            stream.flush().await?;
            tokio::time::sleep(time).await;
        }
        Step::Forever(bytes, wait) => loop {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            tokio::time::sleep(wait).await;
        },
        Step::Reset => {}
    }
    stream.flush().await
}

pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let fields = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Ok(Asked {
        method: first.next().unwrap_or_default(),
        target: first.next().unwrap_or_default(),
        fields: fields.collect(),
    })
}

/// A head with `fields` (each with its line end), after which the connection ends.
pub(crate) fn head(status: u16, fields: &str) -> Step {
    Step::Send(format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{fields}\r\n").into_bytes())
}

/// A whole answer.
pub(crate) fn answer(status: u16, fields: &str, body: &[u8]) -> Vec<Step> {
    let fields = format!("Content-Length: {}\r\n{fields}", body.len());
    vec![head(status, &fields), Step::Send(body.to_vec())]
}

pub(crate) fn redirect(status: u16, location: &str) -> Vec<Step> {
    answer(status, &format!("Location: {location}\r\n"), b"moved")
}
