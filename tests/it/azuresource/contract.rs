//! The contract suite, on Azurite: its ETags are called otherwise on the way, and failures are the way's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::domain::access::Grant;
use longshore::domain::source::Source;
use longshore::ports::fetcher::{Fetcher, Want};
use longshore::testing::contracts::fetcher::{Origin, keeps_the_contract};

use super::customer::Customer;
use super::gangway::{Act, Gangway, Seen, refusal};
use super::wire::Answer;
use super::{application, fetcher_of, request};

type Objects = Arc<Mutex<HashMap<String, MemoryObject>>>;

struct AzureOrigin {
    customer: Customer,
    objects: Objects,
    fetcher: Arc<dyn Fetcher>,
    _gangway: Gangway,
}

impl AzureOrigin {
    async fn start() -> Self {
        let customer = Customer::new().await;
        let objects = Objects::default();
        let behind = Arc::clone(&objects);
        let gangway = Gangway::open(move |seen, _| act(&mut behind.lock().unwrap(), seen)).await;
        let fetcher = Arc::new(fetcher_of(application("secret"), &gangway.endpoint()));
        Self { customer, objects, fetcher, _gangway: gangway }
    }

    fn source(&self, name: &str) -> Source {
        request(&self.customer.grant(), &self.customer.url(name), Want::Body).unwrap().source
    }
}

#[async_trait]
impl Origin for AzureOrigin {
    fn fetcher(&self) -> Arc<dyn Fetcher> {
        Arc::clone(&self.fetcher)
    }

    fn grant(&self) -> Grant {
        request(&self.customer.grant(), &self.customer.url("any"), Want::Body).unwrap().grant
    }

    async fn put(&self, name: &str, object: MemoryObject) -> Source {
        self.customer.put(name, &object.bytes).await;
        self.objects.lock().unwrap().insert(name.to_owned(), object);
        self.source(name)
    }

    async fn missing(&self) -> Source {
        self.source("missing")
    }
}

fn act(objects: &mut HashMap<String, MemoryObject>, seen: &Seen) -> Act {
    let name = seen.asked.target.rsplit('/').next().unwrap();
    let Some(object) = objects.get_mut(name) else {
        // Of a blob that is not there this emulator says that the condition does not hold; storage says that it is not there.
        return Act::Change(vec!["if-match"], Box::new(|_| ()));
    };
    if object.failures > 0 {
        object.failures -= 1;
        return refusal(503, "InternalError", &[]);
    }
    if object.truncations > 0 && seen.asked.method == "GET" {
        object.truncations -= 1;
        return Act::Cut(object.cut_after);
    }
    let (etag, ranges) = (object.version.etag.clone(), object.ranges);
    let wanted = seen.asked.fields.get("if-match");
    if ranges && wanted.is_some() && wanted != etag.as_ref() {
        return refusal(412, "ConditionNotMet", &[]);
    }
    let without = if ranges { vec!["if-match"] } else { vec!["if-match", "range"] };
    Act::Change(without, Box::new(move |answer: &mut Answer| rename(answer, etag, ranges)))
}

fn rename(answer: &mut Answer, etag: Option<String>, ranges: bool) {
    assert!(answer.field("etag").is_some() && answer.field("accept-ranges") == Some("bytes"), "{:?}", answer.fields);
    answer.fields.retain(|(name, _)| name != "etag" && (ranges || name != "accept-ranges"));
    answer.fields.extend(etag.map(|etag| ("etag".to_owned(), etag)));
}

#[tokio::test]
async fn the_azure_fetcher_keeps_the_contract() {
    keeps_the_contract(&AzureOrigin::start().await).await;
}
