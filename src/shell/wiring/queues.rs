//! Opens task queues, dead letters and what completions are published to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::{Trouble, bad_setting};
use crate::adapters::amqp::{AmqpDeadLetters, AmqpEventOptions, AmqpOptions, AmqpPublisher, AmqpQueue};
use crate::adapters::local::{LocalDatabase, LocalDeadLetters, LocalEvents, LocalQueue, LocalQueueOptions, OpenError};
use crate::adapters::sqs::{SqsDeadLetters, SqsEventOptions, SqsOptions, SqsPublisher, SqsQueue};
use crate::domain::id::ImportId;
use crate::domain::webhook::endpoint::Endpoint;
use crate::domain::webhook::pending::Pending;
use crate::engine::webhooks::worker::IN_HAND;
use crate::ports::clock::Clock;
use crate::ports::publisher::Publisher;
use crate::ports::queue::{DeadLetters, Queue, QueueError};
use crate::ports::store::Store;
use crate::shell::config::{Config, Endpoint as EndpointUrl, QueueUrl};
use crate::shell::exit::Failure;

/// The name of the task queue in the embedded database.
const LOCAL_TASKS: &str = "tasks";
/// The name of the queue of pending webhooks there, and what dead letters say of it on SQS.
const WEBHOOKS: &str = "webhooks";
/// How long one call waits for a first message of the embedded queue: an end is noticed within it.
const LOCAL_WAIT: Duration = Duration::from_secs(1);
/// Messages that the broker hands out ahead are bounded by what RabbitMQ allows for quorum queues.
const PREFETCH_MAX: u16 = 2000;

/// Opens the task queue. A broker is not asked for anything yet: it is met when the queue is first used.
///
/// # Errors
/// [`Trouble`] of the embedded database, or a URL that cannot be right.
pub async fn task_queue(config: &Config, store: Option<Arc<dyn Store>>) -> Result<Arc<dyn Queue>, Trouble> {
    match &config.queue.url {
        QueueUrl::Local { .. } => {
            let database = database(&config.queue_database()).await?;
            Ok(Arc::new(LocalQueue::new(database, LOCAL_TASKS, local_options(config))))
        }
        QueueUrl::Amqp { url } => {
            let queue = AmqpQueue::new(amqp_options(config, url.expose().as_str()));
            Ok(Arc::new(queue.map_err(|error| bad_setting("queue.url", &error))?))
        }
        QueueUrl::Sqs { url } => {
            let options = sqs_options(config, url, store).await;
            let queue = SqsQueue::new(&options).map_err(|error| bad_setting("queue.url", &error))?;
            queue.check().await.map_err(|error| shown("queue.url", &error))?;
            Ok(Arc::new(queue))
        }
    }
}

/// Opens the queue of pending webhooks; none on SQS unless it is configured.
///
/// # Errors
/// As [`task_queue`].
pub async fn webhook_queue(config: &Config, store: Option<Arc<dyn Store>>) -> Result<Option<Arc<dyn Queue>>, Trouble> {
    match (&config.queue.url, &config.webhooks.queue_url) {
        (QueueUrl::Local { .. }, _) => {
            let database = database(&config.queue_database()).await?;
            Ok(Some(Arc::new(LocalQueue::new(database, WEBHOOKS, local_options(config)))))
        }
        (QueueUrl::Amqp { url }, _) => {
            let in_hand = u16::try_from(IN_HAND).unwrap_or(PREFETCH_MAX);
            let tasks = amqp_options(config, url.expose().as_str());
            let name = config.webhooks.name.clone();
            let (prefetch, prefetch_in_a_crowd) = (in_hand, in_hand);
            let queue = AmqpQueue::beside(AmqpOptions { queue: name, prefetch, prefetch_in_a_crowd, ..tasks });
            Ok(Some(Arc::new(queue.map_err(|error| bad_setting("webhooks.name", &error))?)))
        }
        (QueueUrl::Sqs { .. }, Some(QueueUrl::Sqs { url })) => {
            let options = SqsOptions { name: Some(WEBHOOKS), ..sqs_options(config, url, store).await };
            let queue = SqsQueue::new(&options).map_err(|error| bad_setting("webhooks.queue_url", &error))?;
            queue.check().await.map_err(|error| shown("webhooks.queue_url", &error))?;
            Ok(Some(Arc::new(queue)))
        }
        // Another kind of queue was refused with the configuration.
        (QueueUrl::Sqs { .. }, Some(QueueUrl::Amqp { .. } | QueueUrl::Local { .. }) | None) => Ok(None),
    }
}

/// How many webhooks wait for each endpoint, by the embedded queue; `None` where another queue cannot tell.
///
/// # Errors
/// As [`task_queue`].
pub async fn webhook_backlog(config: &Config) -> Result<Option<Vec<(Endpoint, u64)>>, Trouble> {
    let QueueUrl::Local { .. } = &config.queue.url else { return Ok(None) };
    let queue = LocalQueue::new(database(&config.queue_database()).await?, WEBHOOKS, local_options(config));
    let groups = queue.groups().await.map_err(|error| shown("queue.url", &error))?;
    let known = groups.into_iter().filter_map(|(count, body)| {
        let pending = Pending::decode(&body).ok()?;
        Some((Endpoint::of(&pending.team, &pending.url), count))
    });
    Ok(Some(known.collect()))
}

/// What a queue's answer at the start means.
fn shown(key: &str, error: &QueueError) -> Trouble {
    match error {
        QueueError::Unavailable(_) => Trouble::ForNow(format!("{key}: {error}")),
        QueueError::Refused(_) | QueueError::LeaseLost => bad_setting(key, error),
    }
}

async fn sqs_options(config: &Config, url: &EndpointUrl, store: Option<Arc<dyn Store>>) -> SqsOptions {
    let sdk = super::aws(config).await;
    SqsOptions {
        endpoint_url: config.aws.sqs_endpoint_url.as_ref().map(|url| url.expose().to_string()),
        region: config.aws.region.clone(),
        lease: config.queue.lease.get(),
        store,
        ..SqsOptions::new(url.expose().as_str(), &config.queue.dead_letter, sdk)
    }
}

/// An import's own queue in the embedded database, and its dead letters.
pub struct ImportQueue {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// Its dead letters, which `longshore dead` does not see: the import's report tells of them.
    pub dead: Arc<dyn DeadLetters>,
}

/// Opens the queue of an import, in the embedded database whatever the task queue is.
///
/// # Errors
/// [`Trouble`] of the database.
pub async fn import_queue(config: &Config, import: &ImportId) -> Result<ImportQueue, Trouble> {
    let database = database(&config.queue_database()).await?;
    let queue = Arc::new(LocalQueue::new(database, &format!("import:{import}"), local_options(config)));
    Ok(ImportQueue { queue: Arc::clone(&queue) as Arc<dyn Queue>, dead: queue })
}

fn local_options(config: &Config) -> LocalQueueOptions {
    LocalQueueOptions { lease: config.queue.lease.get(), wait: LOCAL_WAIT }
}

async fn database(path: &Path) -> Result<LocalDatabase, Trouble> {
    LocalDatabase::open(path).await.map_err(|error| match error {
        OpenError::NotOurs { .. } | OpenError::Newer { .. } => {
            Trouble::ForGood(Failure::bad_input(format!("queue.url: {error}; move it away, or name another path")))
        }
        OpenError::Unusable { .. } => Trouble::ForNow(format!("queue.url: {error}; look at its folder and rights")),
    })
}

fn amqp_options(config: &Config, url: &str) -> AmqpOptions {
    // Those in hand, those that stand aside and those that are looked past: what the engine does not take is given back.
    let settings = super::settings::settings(config);
    let prefetch = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).clamp(1, PREFETCH_MAX);
    AmqpOptions {
        url: SecretString::from(url.to_owned()),
        tls: None,
        queue: config.queue.name.clone(),
        dead_letter: config.queue.dead_letter.clone(),
        declare: config.queue.declare,
        prefetch: prefetch(settings.messages_at_most()),
        prefetch_in_a_crowd: prefetch(settings.messages_at_most_in_a_crowd()),
    }
}

/// Opens the dead-letter queue.
///
/// # Errors
/// As [`task_queue`].
pub async fn dead_letters(config: &Config) -> Result<Arc<dyn DeadLetters>, Trouble> {
    match &config.queue.url {
        QueueUrl::Local { .. } => {
            let database = database(&config.queue_database()).await?;
            let queue = |name| LocalQueue::new(database.clone(), name, local_options(config));
            Ok(Arc::new(LocalDeadLetters(vec![queue(LOCAL_TASKS), queue(WEBHOOKS)])))
        }
        QueueUrl::Amqp { url } => {
            let dead = AmqpDeadLetters::new(amqp_options(config, url.expose().as_str()));
            let dead = dead.and_then(|dead| dead.with(&config.webhooks.name));
            Ok(Arc::new(dead.map_err(|error| bad_setting("queue.url", &error))?))
        }
        QueueUrl::Sqs { url } => {
            let store = super::store_unproven(config).await?.store;
            let options = sqs_options(config, url, Some(store)).await;
            let others = match &config.webhooks.queue_url {
                Some(QueueUrl::Sqs { url }) => {
                    let queue_url = url.expose().to_string();
                    vec![SqsOptions { queue_url, name: Some(WEBHOOKS), ..options.clone() }]
                }
                Some(QueueUrl::Amqp { .. } | QueueUrl::Local { .. }) | None => Vec::new(),
            };
            let dead = SqsDeadLetters::shared(&options, &others);
            Ok(Arc::new(dead.map_err(|error| bad_setting("queue.dead_letter", &error))?))
        }
    }
}

/// Opens what completions are published to, if anything.
///
/// # Errors
/// As [`task_queue`].
pub async fn publisher(config: &Config) -> Result<Option<Arc<dyn Publisher>>, Trouble> {
    match &config.events.url {
        None => Ok(None),
        Some(QueueUrl::Local { .. }) => {
            Ok(local_events(config).await?.map(|events| Arc::new(events) as Arc<dyn Publisher>))
        }
        Some(QueueUrl::Amqp { url }) => {
            let options = AmqpEventOptions {
                url: SecretString::from(url.expose().to_string()),
                tls: None,
                exchange: config.events.exchange.clone(),
                declare: config.queue.declare,
                mandatory: config.events.mandatory,
            };
            let publisher = AmqpPublisher::new(options).map_err(|error| bad_setting("events.url", &error))?;
            Ok(Some(Arc::new(publisher)))
        }
        Some(QueueUrl::Sqs { url }) => {
            let options = SqsEventOptions {
                queue_url: url.expose().to_string(),
                sdk: super::aws(config).await,
                endpoint_url: config.aws.sqs_endpoint_url.as_ref().map(|url| url.expose().to_string()),
                region: config.aws.region.clone(),
            };
            let publisher = SqsPublisher::new(&options).map_err(|error| bad_setting("events.url", &error))?;
            Ok(Some(Arc::new(publisher)))
        }
    }
}

/// Opens the local events, where events are local.
///
/// # Errors
/// [`Trouble`] of the database.
pub async fn local_events(config: &Config) -> Result<Option<LocalEvents>, Trouble> {
    let Some(path) = config.events_database() else {
        return Ok(None);
    };
    Ok(Some(LocalEvents::new(database(&path).await?, Clock::System)))
}
