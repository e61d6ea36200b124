//! The contract suite, on a stand-in of Google Cloud Storage that serves what the suite puts, with the ETags that it names.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::testing::contracts::fetcher::{Origin, keeps_the_contract};

use super::google::fetcher;
use super::objects::AnyToken;
use super::*;
use crate::fetch::server::{Asked, Server, Step, answer, head};

type Objects = Arc<Mutex<HashMap<String, MemoryObject>>>;

/// The fetcher with the rights that the suite leaves out.
struct Granted(GcsFetcher);

#[async_trait]
impl Fetcher for Granted {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        self.0.open(FetchRequest { grant: Grant::GcpOwn, ..request }).await
    }
}

struct GcsOrigin {
    _server: Server,
    objects: Objects,
    fetcher: Arc<dyn Fetcher>,
}

impl GcsOrigin {
    async fn start() -> Self {
        let objects = Objects::default();
        let behind = Arc::clone(&objects);
        let server = Server::start(move |asked| reply(&behind, asked)).await;
        let fetcher = Arc::new(Granted(fetcher(&server.url(""), Arc::new(AnyToken))));
        Self { _server: server, objects, fetcher }
    }
}

#[async_trait]
impl Origin for GcsOrigin {
    fn fetcher(&self) -> Arc<dyn Fetcher> {
        Arc::clone(&self.fetcher)
    }

    async fn put(&self, name: &str, object: MemoryObject) -> Source {
        self.objects.lock().unwrap().insert(format!("/bucket/{name}"), object);
        super::object("bucket", name)
    }

    async fn missing(&self) -> Source {
        super::object("bucket", "missing")
    }
}

fn reply(objects: &Objects, asked: &Asked) -> Vec<Step> {
    let mut objects = objects.lock().unwrap();
    let Some(object) = objects.get_mut(&asked.target) else {
        return answer(404, "", b"<Error><Code>NoSuchKey</Code></Error>");
    };
    if object.failures > 0 {
        object.failures -= 1;
        return answer(503, "", b"<Error><Code>ServiceUnavailable</Code></Error>");
    }
    let etag = object.version.etag.clone();
    let mut fields = etag.as_ref().map_or(String::new(), |etag| format!("ETag: {etag}\r\n"));
    if !object.ranges {
        fields += "Accept-Ranges: none\r\n";
    }
    let expected = asked.fields.get("if-match");
    if expected.is_some() && object.ranges && expected != etag.as_ref() {
        return answer(412, "", b"<Error><Code>PreconditionFailed</Code></Error>");
    }
    let size = object.bytes.len();
    let range = asked.fields.get("range").filter(|_| object.ranges);
    let from: usize =
        range.map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap());
    if range.is_some() {
        fields += &format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1);
    }
    fields += &format!("Content-Length: {}\r\n", size - from);
    let mut steps = vec![head(if range.is_some() { 206 } else { 200 }, &fields)];
    if asked.method != "HEAD" {
        let breaks = object.truncations > 0;
        object.truncations -= u32::from(breaks);
        let end = if breaks { object.cut_after } else { size };
        steps.push(Step::Send(object.bytes[from..end].to_vec()));
    }
    steps
}

#[tokio::test]
async fn the_fetcher_of_google_cloud_storage_keeps_the_contract() {
    keeps_the_contract(&GcsOrigin::start().await).await;
}
