//! Where things are: endpoints, queues, stores and the teams source, each read from one URL-like text.
//!
//! What a URL holds before its `@` is a secret: it is kept for use and masked wherever the URL is shown. So is a directory's query.
//! Nothing here looks whether something answers there.

use std::path::PathBuf;

use url::Url;

use super::secret::MASK;
use super::template::Template;
use super::text::{Text, text_type};

/// A URL with a host, whose user-info is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Returns the URL with all it holds, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.to_text())
    }
}

impl Text for Endpoint {
    const EXPECTED: &'static str = "a URL such as \"http://127.0.0.1:9000\"";

    fn from_text(text: &str) -> Result<Self, String> {
        // The text is not quoted: it may hold a password.
        let url = Url::parse(text).map_err(|error| format!("is no URL ({error}): write {}", Self::EXPECTED))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("is a URL without a host: write {}", Self::EXPECTED));
        }
        Ok(Self(url))
    }

    fn to_text(&self) -> String {
        let mut shown = self.0.clone();
        if !shown.username().is_empty() || shown.password().is_some() {
            // Both calls fail only on URLs without a host, and those are never built.
            let masked = shown.set_password(None).and_then(|()| shown.set_username(MASK));
            if masked.is_err() {
                return MASK.to_owned();
            }
        }
        let text = shown.to_string();
        // `url` adds the root path to what has none; people write endpoints without it.
        if shown.path() == "/" && shown.query().is_none() { text.trim_end_matches('/').to_owned() } else { text }
    }
}
text_type!(Endpoint);

/// Where messages are, and by that which driver speaks to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueUrl {
    /// The embedded queue, in a database file; without a path the one in the state folder.
    Local {
        /// The database file.
        path: Option<PathBuf>,
    },
    /// A RabbitMQ broker.
    Amqp {
        /// The broker's URL, with user and password.
        url: Endpoint,
    },
    /// An SQS queue.
    Sqs {
        /// The queue's URL.
        url: Endpoint,
    },
}

impl QueueUrl {
    /// Tells whether this is an SQS FIFO queue, which is known by its name.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        match self {
            Self::Sqs { url } => url.expose().path().ends_with(".fifo"),
            Self::Local { .. } | Self::Amqp { .. } => false,
        }
    }
}

impl Text for QueueUrl {
    const EXPECTED: &'static str = "\"local:\", \"local:PATH\", \"amqp://HOST\", \"amqps://HOST\" or \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("local:") {
            let path = (!path.is_empty()).then(|| PathBuf::from(path));
            return Ok(Self::Local { path });
        }
        let refused = |why: &str| format!("{why}: write {}", Self::EXPECTED);
        let url = Endpoint::from_text(text).map_err(|_| refused("is no queue URL"))?;
        match url.expose().scheme() {
            "amqp" | "amqps" => Ok(Self::Amqp { url }),
            "http" | "https" if path_parts(url.expose()) >= 2 => Ok(Self::Sqs { url }),
            "http" | "https" => Err(refused("is no SQS queue URL, for its path is not /ACCOUNT/NAME")),
            scheme => Err(refused(&format!("has the unknown scheme {scheme:?}"))),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Local { path } => format!("local:{}", path.to_text()),
            Self::Amqp { url } | Self::Sqs { url } => url.to_text(),
        }
    }
}
text_type!(QueueUrl);

fn path_parts(url: &Url) -> usize {
    url.path().split('/').filter(|part| !part.is_empty()).count()
}

/// Where the copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A folder of this machine.
    File {
        /// The folder.
        path: PathBuf,
    },
    /// A bucket on S3 or a server that speaks its protocol.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What every key starts with, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl Text for StoreUrl {
    const EXPECTED: &'static str = "\"file:PATH\" or \"s3://BUCKET/PREFIX\"";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if bucket.is_empty() || !bucket.chars().all(legal) {
                return Err(format!("names no bucket: write {}", Self::EXPECTED));
            }
            let prefix = prefix.trim_matches('/').to_owned();
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix });
        }
        file_path(text).map(|path| Self::File { path }).ok_or_else(|| format!("is no store: write {}", Self::EXPECTED))
    }

    fn to_text(&self) -> String {
        match self {
            Self::File { path } => format!("file:{}", path.to_text()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => format!("s3://{bucket}"),
            Self::S3 { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
        }
    }
}
text_type!(StoreUrl);

/// Where the teams' records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeamsSource {
    /// A file, read again when it changes.
    File {
        /// The file.
        path: PathBuf,
    },
    /// A directory that is asked for one team at a time.
    Directory {
        /// Its URL, with `{team}` where the team's name goes.
        template: Template,
    },
}

impl Text for TeamsSource {
    const EXPECTED: &'static str = "\"file:PATH\" or \"https://HOST/PATH/{team}\"";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") || text.starts_with("http://") {
            let template = Template::from_text(text)?;
            template.check("{team}").map_err(|why| format!("{why}: write {}", Self::EXPECTED))?;
            return Ok(Self::Directory { template });
        }
        file_path(text)
            .map(|path| Self::File { path })
            .ok_or_else(|| format!("is no source of teams: write {}", Self::EXPECTED))
    }

    fn to_text(&self) -> String {
        match self {
            Self::File { path } => format!("file:{}", path.to_text()),
            Self::Directory { template } => template.to_text(),
        }
    }
}
text_type!(TeamsSource);

/// Returns the path of `file:PATH`, `file:/PATH` or `file:///PATH`.
fn file_path(text: &str) -> Option<PathBuf> {
    let path = text.strip_prefix("file:")?;
    let path = match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return None,
        None => path,
    };
    (!path.is_empty()).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Text>(input: &str, expected: Result<&str, &str>) {
        match (T::from_text(input), expected) {
            (Ok(value), Ok(text)) => assert_eq!(value.to_text(), text, "{input}"),
            (Err(message), Err(part)) => {
                assert!(message.contains(part), "{input}: {message}");
                assert!(!message.contains("hush"), "{input}: shows a secret: {message}");
            }
            (Ok(value), Err(_)) => panic!("{input}: got {}", value.to_text()),
            (Err(message), Ok(_)) => panic!("{input}: {message}"),
        }
    }

    #[test]
    fn the_scheme_of_a_queue_picks_its_driver() {
        check::<QueueUrl>("local:", Ok("local:"));
        check::<QueueUrl>("local:q/a.db", Ok("local:q/a.db"));
        check::<QueueUrl>("amqp://127.0.0.1:5672", Ok("amqp://127.0.0.1:5672"));
        check::<QueueUrl>("amqps://me:hush@mq/vhost", Ok("amqps://***@mq/vhost"));
        check::<QueueUrl>("amqp://me@mq/%2f", Ok("amqp://***@mq/%2f"));
        check::<QueueUrl>("https://sqs.eu-west-1.amazonaws.com/1/q", Ok("https://sqs.eu-west-1.amazonaws.com/1/q"));
        check::<QueueUrl>("http://127.0.0.1:4566/000000000000/q.fifo", Ok("http://127.0.0.1:4566/000000000000/q.fifo"));
        check::<QueueUrl>("https://sqs.eu-west-1.amazonaws.com/q", Err("is no SQS queue URL"));
        check::<QueueUrl>("redis://me:hush@x", Err("unknown scheme \"redis\""));
        check::<QueueUrl>("amqp://me:hush@", Err("is no queue URL"));
        check::<QueueUrl>("local", Err("is no queue URL"));
        check::<QueueUrl>("", Err("is no queue URL"));
    }

    #[test]
    fn only_an_sqs_queue_by_that_name_is_fifo() {
        let fifo = |text: &str| QueueUrl::from_text(text).unwrap().is_fifo();
        assert!(fifo("http://h/1/q.fifo"));
        assert!(!fifo("http://h/1/q"));
        assert!(!fifo("local:q.fifo"));
    }

    #[test]
    fn stores_are_folders_or_buckets() {
        check::<StoreUrl>("file:data/store", Ok("file:data/store"));
        check::<StoreUrl>("file:/data", Ok("file:/data"));
        check::<StoreUrl>("file:///data", Ok("file:/data"));
        check::<StoreUrl>("s3://bucket", Ok("s3://bucket"));
        check::<StoreUrl>("s3://bucket/a/b/", Ok("s3://bucket/a/b"));
        for wrong in ["file:", "file://host/x", "s3://", "s3:///x", "s3://a b", "gs://x", "data", ""] {
            check::<StoreUrl>(wrong, Err("write \"file:PATH\""));
        }
    }

    #[test]
    fn teams_come_from_a_file_or_a_directory() {
        check::<TeamsSource>("file:teams.toml", Ok("file:teams.toml"));
        check::<TeamsSource>("https://teams.test/v1/{team}", Ok("https://teams.test/v1/{team}"));
        check::<TeamsSource>("http://127.0.0.1:1/{team}?x", Ok("http://127.0.0.1:1/{team}?***"));
        check::<TeamsSource>("http://localhost/{team}", Ok("http://localhost/{team}"));
        check::<TeamsSource>("http://teams.test/{team}", Err("without TLS"));
        check::<TeamsSource>("https://me:hush@teams.test/{team}", Err("teams.token"));
        check::<TeamsSource>("https://{team}.teams.test/", Err("no URL with {team} in its path"));
        check::<TeamsSource>("https://teams.test/{team}/{team}", Err("without one {team}"));
        check::<TeamsSource>("https://teams.test/v1", Err("without one {team}"));
        check::<TeamsSource>("teams.toml", Err("is no source of teams"));
    }

    #[test]
    fn endpoints_hide_their_user_info_also_from_debug() {
        check::<Endpoint>("http://127.0.0.1:9000", Ok("http://127.0.0.1:9000"));
        check::<Endpoint>("http://me:hush@proxy:3128", Ok("http://***@proxy:3128"));
        check::<Endpoint>("socks5://:hush@proxy:1080", Ok("socks5://***@proxy:1080"));
        check::<Endpoint>("hush", Err("is no URL"));
        check::<Endpoint>("mailto:hush", Err("without a host"));
        let queue = QueueUrl::from_text("amqp://me:hush@mq").unwrap();
        assert!(!format!("{queue:?}").contains("hush"));
        let QueueUrl::Amqp { url } = queue else { panic!("not AMQP") };
        assert_eq!(url.expose().password(), Some("hush"));
    }
}
