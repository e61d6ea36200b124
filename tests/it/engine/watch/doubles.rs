//! Ports that are looked at on their way to the doubles beneath them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use longshore::adapters::memory::store::MemoryStore;
use longshore::domain::access::Grant;
use longshore::domain::fault::AttachmentFault;
use longshore::domain::id::{TaskId, TeamId};
use longshore::domain::object_key::Key;
use longshore::domain::settlement::Settlement;
use longshore::domain::source::{Place, Source};
use longshore::domain::webhook::body::Link;
use longshore::ports::fetcher::{BodyStream, FetchRequest, Fetched, Fetcher, Want};
use longshore::ports::publisher::{Event, PublishError, Publisher};
use longshore::ports::queue::{Delivery, Depth, Extended, Lease, Order, Outgoing, Queue, QueueError};
use longshore::ports::store::{Head, ObjectMeta, ObjectStream, PART_BYTES, Put, Store, StoreError, Upload};
use serde_json::Value;

use super::{Open, Watch};

/// Sources, as they are asked. Each host and bucket is named after the team that may read it.
pub(in crate::engine) struct WatchedFetcher<F>(pub(in crate::engine) F, pub(in crate::engine) Watch);

#[async_trait]
impl<F: Fetcher> Fetcher for WatchedFetcher<F> {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let (watch, id) = (&self.1, request.team.id.clone());
        let team = id.to_string();
        let place = match request.source.place() {
            Place::Host(name) => name,
            Place::Bucket(name) => name.trim_start_matches("s3://").to_owned(),
            Place::Local => String::new(),
        };
        let is_bucket = matches!(request.source, Source::S3 { .. });
        let with_rights = match &request.grant {
            Grant::AwsRole(role) => is_bucket && role.role_arn.ends_with(&format!("/{team}")),
            Grant::AwsOwn(_) | Grant::AzureTenant(_) | Grant::GcpAccount(_) | Grant::GcpOwn => false,
            Grant::None => !is_bucket,
        };
        if !place.starts_with(&format!("{team}-")) || !with_rights {
            watch.breaks(format!("{team} asked {place} with {:?}", request.grant));
        }
        let mut names = vec![(format!("team {team}"), watch.0.bounds.team.in_flight)];
        if !is_bucket {
            names.push((format!("host {place}"), watch.0.bounds.host.in_flight));
        }
        let open = watch.opens(names);
        let want = request.want.clone();
        let mut fetched = self.0.open(request).await?;
        if want == Want::Head {
            // It has no body: with its answer it has ended.
            return Ok(fetched);
        }
        let whole_of = (want == Want::Body).then_some(id);
        fetched.body = until_it_ends(std::mem::replace(&mut fetched.body, stream::empty().boxed()), open, whole_of);
        Ok(fetched)
    }
}

/// The same body, in flight until it ends, breaks or is let go. What comes whole is noted for the team `whole_of`.
fn until_it_ends(body: BodyStream, open: Open, whole_of: Option<TeamId>) -> BodyStream {
    stream::unfold((body, Some(open), 0), move |(mut body, mut open, mut bytes)| {
        let whole_of = whole_of.clone();
        async move {
            let next = body.next().await;
            match &next {
                Some(Ok(chunk)) => bytes += chunk.len(),
                Some(Err(_)) => open = None,
                None => {
                    let ended = open.take().zip(whole_of);
                    // A larger one may be let go after its last byte, before anybody has looked at it.
                    if let Some((open, team)) = ended.filter(|_| bytes < PART_BYTES) {
                        open.watch.0.turns.lock().unwrap().brought(&team, bytes as f64);
                    }
                }
            }
            next.map(|item| (item, (body, open, bytes)))
        }
    })
    .boxed()
}

/// The store, as it is told.
pub(in crate::engine) struct WatchedStore(pub(in crate::engine) MemoryStore, pub(in crate::engine) Watch);

#[async_trait]
impl Store for WatchedStore {
    fn keeps_facts(&self) -> bool {
        self.0.keeps_facts()
    }
    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        if key.as_str().contains("/receipts/") {
            self.1.check_receipt(&content).await;
        }
        let _given = self.1.gives(content.len());
        self.0.put_if_absent(key, content, meta).await
    }
    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(WatchedUpload(self.0.begin(key, meta).await?, self.1.clone())))
    }
    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        self.0.head(key).await
    }
    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        self.0.find(stem).await
    }
    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        self.0.read(key).await
    }
    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        self.0.get(key, bytes_max).await
    }
    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        self.0.overwrite(key, content).await
    }
    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.0.list(folder, after, limit).await
    }
    fn uri(&self, key: &Key) -> String {
        self.0.uri(key)
    }
    async fn link(&self, key: &Key, lasts: Duration) -> Result<Option<Link>, StoreError> {
        self.0.link(key, lasts).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.0.probe().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }
}

struct WatchedUpload(Box<dyn Upload>, Watch);

#[async_trait]
impl Upload for WatchedUpload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        let _given = self.1.gives(content.len());
        self.0.part(content).await
    }
    async fn finish(&mut self) -> Result<Put, StoreError> {
        self.0.finish().await
    }
    async fn abort(&mut self) {
        self.0.abort().await;
    }
}

/// The broker, as it is told of completions.
pub(in crate::engine) struct WatchedPublisher(pub(in crate::engine) Arc<dyn Publisher>, pub(in crate::engine) Watch);

#[async_trait]
impl Publisher for WatchedPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let body: Value = serde_json::from_slice(&event.body).unwrap_or_default();
        let task = body["data"]["task_id"].as_str().and_then(|text| TaskId::new(text).ok());
        let receipt = match &task {
            Some(task) => self.1.receipt_of(&event.team, task).await,
            None => None,
        };
        if receipt.is_none_or(|receipt| receipt.event_id != event.id) {
            self.1.breaks(format!("{task:?} was announced before its receipt"));
        }
        self.0.publish(event).await
    }
}

/// The queue, as it is told how messages end.
pub(in crate::engine) struct WatchedQueue<Q>(pub(in crate::engine) Q, pub(in crate::engine) Watch);

impl<Q> WatchedQueue<Q> {
    fn note(&self, delivery: &Delivery) {
        let body: Value = serde_json::from_slice(&delivery.message.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let team = text("team").and_then(|text| TeamId::new(text).ok());
        if let (Some(team), Some(task)) = (team, text("task_id").and_then(|text| TaskId::new(text).ok())) {
            self.1.0.leases.lock().unwrap().insert(delivery.lease.clone(), (team, task));
        }
    }
}

#[async_trait]
impl<Q: Queue> Queue for WatchedQueue<Q> {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        let deliveries = self.0.receive(room).await?;
        deliveries.iter().for_each(|delivery| self.note(delivery));
        Ok(deliveries)
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn lease_length(&self) -> Duration {
        self.0.lease_length()
    }
    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        self.0.extend(leases).await
    }
    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        self.1.check_settled(lease, settlement).await;
        self.0.settle(lease, settlement).await
    }
    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        self.0.send(messages).await
    }
    async fn depth(&self) -> Result<Depth, QueueError> {
        self.0.depth().await
    }
    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        self.0.due(span).await
    }
    fn count_lag(&self) -> Duration {
        self.0.count_lag()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}
