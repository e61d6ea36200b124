//! The contract suite, on a stand-in of Google Cloud Storage that serves what the suite puts, with the ETags that it names.

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::testing::contracts::fetcher::{Origin, keeps_the_contract};

use super::google::fetcher;
use super::objects::AnyToken;
use super::*;
use crate::fetch::contract::{Objects, Words, reply};
use crate::fetch::server::Server;

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
        let server = Server::start(move |asked| reply(&behind, asked, &GOOGLES)).await;
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

const GOOGLES: Words = Words {
    missing: "<Error><Code>NoSuchKey</Code></Error>",
    down: "<Error><Code>ServiceUnavailable</Code></Error>",
    changed: "<Error><Code>PreconditionFailed</Code></Error>",
    // Google gives ranges of everything, unless it says that it does not.
    ranges: ["Accept-Ranges: none\r\n", ""],
};

#[tokio::test]
async fn the_fetcher_of_google_cloud_storage_keeps_the_contract() {
    keeps_the_contract(&GcsOrigin::start().await).await;
}
