//! What a queue's URL says by itself: type, region, and whom to ask.

use url::Url;

/// A queue URL that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is no queue: write \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"")]
pub struct BadQueueUrl {
    url: String,
}

/// A queue's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The URL as it was given.
    pub(super) url: String,
    /// The region that AWS's own host names.
    pub(super) region: Option<String>,
    /// Whom to ask, when that is not AWS's own host of the region.
    pub(super) endpoint: Option<String>,
    /// Whether the queue is a FIFO queue, which its name tells.
    pub(super) fifo: bool,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, BadQueueUrl> {
        let bad = || BadQueueUrl { url: text.to_owned() };
        let url = Url::parse(text).map_err(|_| bad())?;
        let host = url.host_str().ok_or_else(bad)?.to_ascii_lowercase();
        let path: Vec<&str> = url.path_segments().ok_or_else(bad)?.collect();
        let whole = matches!(url.scheme(), "http" | "https")
            && path.len() >= 2
            && path.iter().all(|segment| !segment.is_empty());
        if !whole || url.query().is_some() {
            return Err(bad());
        }
        let region = aws_region(&host).map(str::to_owned);
        let endpoint = region.is_none().then(|| url.origin().ascii_serialization());
        Ok(Self {
            url: text.to_owned(),
            region,
            endpoint,
            fifo: path.last().is_some_and(|name| name.ends_with(".fifo")),
        })
    }
}

/// The region in a host of AWS's own: `sqs.REGION.amazonaws.com`, or the older `REGION.queue.amazonaws.com`.
fn aws_region(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
    let region = host.strip_prefix("sqs.").or_else(|| host.strip_suffix(".queue"))?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (Option<String>, Option<String>, bool) {
        let address = Address::parse(url).unwrap();
        (address.region, address.endpoint, address.fifo)
    }

    #[test]
    fn awss_own_hosts_name_the_region_and_others_are_asked_themselves() {
        let text = |text: &str| Some(text.to_owned());
        for (url, expected) in [
            ("https://sqs.eu-west-1.amazonaws.com/1/q", (text("eu-west-1"), None, false)),
            ("https://sqs.cn-north-1.amazonaws.com.cn/1/q.fifo", (text("cn-north-1"), None, true)),
            ("https://us-east-2.queue.amazonaws.com/1/q", (text("us-east-2"), None, false)),
            ("http://127.0.0.1:4566/1/q", (None, text("http://127.0.0.1:4566"), false)),
            (
                "https://vpce-1.sqs.us-east-1.vpce.amazonaws.com/1/q",
                (None, text("https://vpce-1.sqs.us-east-1.vpce.amazonaws.com"), false),
            ),
        ] {
            assert_eq!(parsed(url), expected, "{url}");
        }
    }

    #[test]
    fn what_names_no_queue_is_refused() {
        for url in ["q", "https://sqs.eu-west-1.amazonaws.com/q", "amqp://h/1/q", "https://h//q", "https://h/1/q?x=1"] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }
}
