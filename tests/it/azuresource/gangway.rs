//! A server of a test's own before the gate: it passes requests on, or answers them as storage would in another moment, and
//! writes down with whose token each came.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::customer::at_the_gate;
use super::wire::Answer;
use crate::fetch::server::{Asked, read_head};

/// What becomes of a request.
pub(crate) enum Act {
    /// It goes to the gate, and what is answered there comes back.
    Pass,
    /// It goes to the gate without these fields, and the answer is changed.
    Change(Vec<&'static str>, Box<dyn FnOnce(&mut Answer) + Send>),
    /// It goes to the gate, and the answer's body breaks off after so many bytes.
    Cut(usize),
    /// The same, once this has happened.
    CutAfter(usize, Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It is answered here.
    Say(Answer),
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) asked: Asked,
    /// The tenant of its token.
    pub(crate) tenant: Option<String>,
}

type Decide = dyn Fn(&Seen, usize) -> Act + Send + Sync;

/// The listening server; dropped, it is gone.
pub(crate) struct Gangway {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Gangway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gangway {
    /// A server that does with each request, and its number, what `decide` says.
    pub(crate) async fn open(decide: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, decide) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(decide));
        let written = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (decide, written) = (Arc::clone(&decide), Arc::clone(&written));
                tokio::spawn(async move {
                    // A client that hangs up is part of some tests.
                    let _ = converse(stream, &*decide, &written).await;
                });
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer of storage's that is no success.
pub(crate) fn refusal(status: u16, code: &str, fields: &[(&str, &str)]) -> Act {
    let mut all = vec![("x-ms-error-code".to_owned(), code.to_owned())];
    all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>").into_bytes();
    all.push(("content-length".to_owned(), body.len().to_string()));
    Act::Say(Answer { status, fields: all, body })
}

/// The challenge of an account that belongs to `tenant`.
pub(crate) fn challenge(tenant: &str) -> Act {
    let uri = format!("https://login.microsoftonline.com/{tenant}/oauth2/authorize");
    let field = format!("Bearer authorization_uri={uri} resource_id=https://storage.azure.com");
    refusal(401, "InvalidAuthenticationInfo", &[("www-authenticate", &field)])
}

async fn converse(mut stream: TcpStream, decide: &Decide, written: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    let asked = read_head(&mut stream).await?;
    let seen = Seen { tenant: asked.fields.get("authorization").and_then(|field| tenant_of(field)), asked };
    let number = {
        let mut written = written.lock().unwrap();
        written.push(seen.clone());
        written.len() - 1
    };
    let (answer, cut) = match decide(&seen, number) {
        Act::Say(answer) => (answer, None),
        Act::Pass => (passed(&seen, &[]).await, None),
        Act::Cut(bytes) => (passed(&seen, &[]).await, Some(bytes)),
        Act::CutAfter(bytes, happening) => {
            let answer = passed(&seen, &[]).await;
            happening.await;
            (answer, Some(bytes))
        }
        Act::Change(without, change) => {
            let mut answer = passed(&seen, &without).await;
            change(&mut answer);
            (answer, None)
        }
    };
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.fields {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    if seen.asked.method != "HEAD" {
        stream.write_all(&answer.body[..cut.unwrap_or(answer.body.len())]).await?;
    }
    if cut.is_some() {
        stream.flush().await?;
        return stream.set_zero_linger();
    }
    stream.shutdown().await
}

async fn passed(seen: &Seen, without: &[&str]) -> Answer {
    let fields: Vec<(String, String)> = seen.asked.fields.clone().into_iter().collect();
    let kept = |name: &str| !matches!(name, "host" | "connection") && !without.contains(&name);
    let fields: Vec<_> = fields.into_iter().filter(|(name, _)| kept(name)).collect();
    let mut answer = at_the_gate(&seen.asked.method, &seen.asked.target, &fields).await;
    // What came chunked goes on whole.
    if seen.asked.method != "HEAD" && answer.field("content-length").is_none() {
        answer.fields.push(("content-length".to_owned(), answer.body.len().to_string()));
    }
    answer
}

fn tenant_of(authorization: &str) -> Option<String> {
    let claims = authorization.strip_prefix("Bearer ")?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["tid"].as_str().map(str::to_owned)
}
