//! A server that speaks just enough S3 to misbehave: it forgets conditions, loses answers, spoils bytes, refuses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use longshore::adapters::store::s3::{S3Options, S3Store};

/// How it misbehaves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manners {
    /// `PutObject` overwrites.
    pub(super) overwrites_by_put: bool,
    /// `CompleteMultipartUpload` overwrites.
    pub(super) overwrites_by_upload: bool,
    /// A first `CompleteMultipartUpload` is done, and its answer lost.
    pub(super) loses_completion: bool,
    /// Every request is answered so.
    pub(super) answers: Option<(u16, &'static str)>,
    /// `CompleteMultipartUpload` is answered so.
    pub(super) answers_completion: Option<(u16, &'static str)>,
    /// Bodies are not what their checksums say.
    pub(super) spoils_reads: bool,
    /// Bodies end early.
    pub(super) cuts_reads: bool,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) bytes: usize,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[derive(Debug, Default)]
struct Inside {
    manners: Manners,
    objects: HashMap<String, (Bytes, Option<String>)>,
    uploads: HashMap<String, Vec<Bytes>>,
    seen: Vec<Seen>,
}

/// A running stand-in; dropped, it ends.
pub(super) struct StandIn {
    inside: Arc<Mutex<Inside>>,
    port: u16,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl StandIn {
    pub(super) async fn start(manners: Manners) -> Self {
        let inside = Arc::new(Mutex::new(Inside { manners, ..Inside::default() }));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inside));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let server = tokio::spawn(async move { axum::serve(socket, app).await.expect("it serves") });
        Self { inside, port, server }
    }

    pub(super) fn store(&self) -> S3Store {
        store_at(&format!("http://127.0.0.1:{}", self.port))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.inside.lock().expect("whole").seen.clone()
    }

    pub(super) fn objects(&self) -> usize {
        self.inside.lock().expect("whole").objects.len()
    }

    pub(super) fn uploads(&self) -> usize {
        self.inside.lock().expect("whole").uploads.len()
    }
}

/// A store whose bucket is at `endpoint`.
pub(super) fn store_at(endpoint: &str) -> S3Store {
    let options = S3Options {
        bucket: "bucket".to_owned(),
        endpoint_url: Some(endpoint.to_owned()),
        force_path_style: true,
        ..S3Options::default()
    };
    S3Store::with_keys(options, "test", "test")
}

async fn answer(State(inside): State<Arc<Mutex<Inside>>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let content = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let mut inside = inside.lock().expect("whole");
    let seen = Seen { method: parts.method, uri: parts.uri.to_string(), headers: parts.headers, bytes: content.len() };
    inside.seen.push(seen.clone());
    if let Some((status, code)) = inside.manners.answers {
        return refused(status, code);
    }
    let path = parts.uri.path().to_owned();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    match (seen.method.as_str(), query.get("uploadId"), query.contains_key("uploads")) {
        ("POST", _, true) => inside.created(),
        ("PUT", Some(id), _) => inside.parted(id, content),
        ("POST", Some(id), _) => inside.completed(id, path, &seen),
        ("DELETE", Some(id), _) => {
            inside.uploads.remove(id);
            plain(204, "")
        }
        ("PUT", None, _) => inside.put(path, content, &seen),
        ("DELETE", None, _) => {
            inside.objects.remove(&path);
            plain(204, "")
        }
        _ => inside.read(&path),
    }
}

impl Inside {
    fn created(&mut self) -> Response<Body> {
        let id = format!("u{}", self.seen.len());
        self.uploads.insert(id.clone(), Vec::new());
        plain(200, &format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
    }

    fn parted(&mut self, id: &str, content: Bytes) -> Response<Body> {
        let Some(parts) = self.uploads.get_mut(id) else {
            return refused(404, "NoSuchUpload");
        };
        parts.push(content);
        plain(200, "")
    }

    fn completed(&mut self, id: &str, path: String, seen: &Seen) -> Response<Body> {
        if let Some((status, code)) = self.manners.answers_completion {
            return refused(status, code);
        }
        if !self.uploads.contains_key(id) {
            return refused(404, "NoSuchUpload");
        }
        if self.objects.contains_key(&path) && !self.manners.overwrites_by_upload {
            return refused(412, "PreconditionFailed");
        }
        let parts = self.uploads.remove(id).expect("looked at above");
        let sum = seen.header("x-amz-checksum-crc64nvme").map(str::to_owned);
        self.objects.insert(path, (parts.concat().into(), sum));
        if std::mem::take(&mut self.manners.loses_completion) {
            let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
            return Response::new(Body::from_stream(broken));
        }
        plain(200, "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>")
    }

    fn put(&mut self, path: String, content: Bytes, seen: &Seen) -> Response<Body> {
        let conditional = seen.header("if-none-match") == Some("*") && !self.manners.overwrites_by_put;
        if conditional && self.objects.contains_key(&path) {
            return refused(412, "PreconditionFailed");
        }
        let sum = seen.header("x-amz-checksum-crc64nvme").map(str::to_owned);
        self.objects.insert(path, (content, sum));
        plain(200, "")
    }

    fn read(&self, path: &str) -> Response<Body> {
        let Some((content, sum)) = self.objects.get(path) else {
            return refused(404, "NoSuchKey");
        };
        let mut bytes = content.to_vec();
        if let (true, Some(first)) = (self.manners.spoils_reads, bytes.first_mut()) {
            *first ^= 1;
        }
        let length = bytes.len();
        let body = if self.manners.cuts_reads {
            let half = Bytes::from(bytes).slice(..length / 2);
            let cut = async {
                // Else the server notices before it has sent anything.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                Err(std::io::Error::other("cut"))
            };
            let half = futures::stream::iter([Ok(half)]);
            Body::from_stream(half.chain(futures::stream::once(cut)))
        } else {
            Body::from(bytes)
        };
        let answer = Response::builder().header("content-length", length);
        let answer = match sum {
            Some(sum) => answer.header("x-amz-checksum-crc64nvme", sum).header("x-amz-checksum-type", "FULL_OBJECT"),
            None => answer,
        };
        answer.body(body).expect("a good answer")
    }
}

fn plain(status: u16, body: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    let answer = Response::builder().status(status).header("etag", "\"e\"");
    answer.body(Body::from(body.to_owned())).expect("a good answer")
}

fn refused(status: u16, code: &str) -> Response<Body> {
    plain(status, &format!("<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"))
}
