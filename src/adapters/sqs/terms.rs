//! What the queues' own settings must be, and what we must know of them.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value as Json;

use super::requests::Remote;
use super::trouble::Trouble;

/// Below this many receives SQS itself would take away messages that we hand back, wait for or look at.
const RECEIVES_MIN: u64 = 100;

/// What we know of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long SQS keeps a message.
    pub(super) retention: Duration,
}

/// Reads the settings of a queue, and checks them and the dead-letter queue. One that only shares the dead-letter queue of
/// another, and so has a name, may be of another type: its dead letters are moved by us alone.
pub(super) async fn checked(queue: &Remote, dead: &Remote, name: Option<&str>) -> Result<Terms, Trouble> {
    if name.is_none() && queue.fifo != dead.fifo {
        let kind = |remote: &Remote| {
            if remote.fifo { "a FIFO queue" } else { "a standard queue" }
        };
        return Err(Trouble::Refused(format!(
            "{} is {}, but its dead-letter queue {} is {}: both must be of one type",
            queue.url,
            kind(queue),
            dead.url,
            kind(dead),
        )));
    }
    let terms = of(queue).await?;
    match of(dead).await {
        // A worker need not have the right to look at the dead-letter queue, only to send there.
        Ok(_) => {}
        Err(Trouble::Refused(text)) if text.starts_with("AccessDenied") => {}
        Err(trouble) => return Err(trouble),
    }
    Ok(terms)
}

/// Reads and checks the settings of one queue.
pub(super) async fn of(queue: &Remote) -> Result<Terms, Trouble> {
    let names = [QueueAttributeName::RedrivePolicy, QueueAttributeName::MessageRetentionPeriod];
    let [policy, retention] = queue.attributes(names).await.map_err(|trouble| match trouble {
        Trouble::Refused(text) => Trouble::Refused(format!("{}: {text}", queue.url)),
        other => other,
    })?;
    if let Some(receives) = policy.as_deref().and_then(receives_max)
        && receives < RECEIVES_MIN
    {
        return Err(Trouble::Refused(format!(
            "{}: the redrive policy's maxReceiveCount is {receives}, but must be at least {RECEIVES_MIN}: \
             receives that only wait or look count there too",
            queue.url
        )));
    }
    let secs = retention.and_then(|secs| secs.parse().ok()).unwrap_or(345_600);
    Ok(Terms { retention: Duration::from_secs(secs) })
}

/// SQS writes the number sometimes as text.
fn receives_max(policy: &str) -> Option<u64> {
    let policy: Json = serde_json::from_str(policy).ok()?;
    let receives = policy.get("maxReceiveCount")?;
    receives.as_u64().or_else(|| receives.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::receives_max;

    #[test]
    fn the_redrive_policy_is_read_in_both_spellings() {
        assert_eq!(receives_max(r#"{"maxReceiveCount":5}"#), Some(5));
        assert_eq!(receives_max(r#"{"maxReceiveCount":"100"}"#), Some(100));
        assert_eq!(receives_max(""), None);
    }
}
