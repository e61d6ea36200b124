//! The contract suite, on memory and on HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::domain::source::Source;
use longshore::ports::fetcher::Fetcher;
use longshore::testing::contracts::fetcher::{MemoryOrigin, Origin, keeps_the_contract};

use super::server::{Asked, Server, Step, answer, head};
use super::{fetcher, options};

/// What is there, by target.
pub(crate) type Objects = Arc<Mutex<HashMap<String, MemoryObject>>>;

struct HttpOrigin {
    server: Server,
    objects: Objects,
    fetcher: Arc<dyn Fetcher>,
}

impl HttpOrigin {
    async fn start() -> Self {
        let objects = Objects::default();
        let behind = Arc::clone(&objects);
        let server = Server::start(move |asked| reply(&behind, asked, &PLAIN)).await;
        Self { server, objects, fetcher: Arc::new(fetcher(options())) }
    }
}

#[async_trait]
impl Origin for HttpOrigin {
    fn fetcher(&self) -> Arc<dyn Fetcher> {
        Arc::clone(&self.fetcher)
    }

    async fn put(&self, name: &str, object: MemoryObject) -> Source {
        let path = format!("/{name}");
        let source = Source::parse(&self.server.url(&path)).unwrap();
        self.objects.lock().unwrap().insert(path, object);
        source
    }

    async fn missing(&self) -> Source {
        Source::parse(&self.server.url("/missing")).unwrap()
    }
}

/// How a server words what is not there, what is down and what has changed, and how it tells of ranges that it does not give.
pub(crate) struct Words {
    pub(crate) missing: &'static str,
    pub(crate) down: &'static str,
    pub(crate) changed: &'static str,
    pub(crate) ranges: [&'static str; 2],
}

const PLAIN: Words =
    Words { missing: "nothing here", down: "down", changed: "changed", ranges: ["", "Accept-Ranges: bytes\r\n"] };

/// What an honest server answers, in these words.
pub(crate) fn reply(objects: &Objects, asked: &Asked, words: &Words) -> Vec<Step> {
    let mut objects = objects.lock().unwrap();
    let Some(object) = objects.get_mut(&asked.target) else {
        return answer(404, "", words.missing.as_bytes());
    };
    if object.failures > 0 {
        object.failures -= 1;
        return answer(503, "", words.down.as_bytes());
    }
    let etag = object.version.etag.clone();
    let mut fields = etag.as_ref().map_or(String::new(), |etag| format!("ETag: {etag}\r\n"));
    fields += words.ranges[usize::from(object.ranges)];
    let expected = asked.fields.get("if-match");
    if expected.is_some() && object.ranges && expected != etag.as_ref() {
        return answer(412, "", words.changed.as_bytes());
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
async fn the_memory_fetcher_keeps_the_contract() {
    keeps_the_contract(&MemoryOrigin::default()).await;
}

#[tokio::test]
async fn the_http_fetcher_keeps_the_contract() {
    keeps_the_contract(&HttpOrigin::start().await).await;
}
