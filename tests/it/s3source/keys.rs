//! Keys as customers really call them, asked of servers that check the signature over them.

use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use longshore::ports::credentials::{AwsKeys, AwsUse};

use super::cloud::{Cloud, Plan, client};
use super::*;

/// Keys that differ from each other only where an encoding could lose something.
pub(super) const KEYS: [&str; 56] = [
    "plain.jpg",
    "a b.jpg",
    "a+b.jpg",
    "a%20b.jpg",
    "a%2Bb.jpg",
    "a%2bb.jpg",
    "a%b",
    "100%",
    "%",
    "%%",
    "%2F",
    "dir/a",
    "dir%2Fa",
    "dir//a",
    "dir///a",
    "/dir/a",
    "//dir/a",
    "dir/",
    "dir//",
    "/",
    "a?b",
    "a?b=c&d=e",
    "a#b",
    "a&b",
    "a=b",
    "a;b",
    "a:b",
    "a,b",
    "a@b",
    "a$b",
    "a!b",
    "a'b",
    "a\"b",
    "a(b)",
    "a*b",
    "a[b]",
    "a{b}",
    "a|b",
    "a^b",
    "a`b",
    "a<b>",
    "a\\b",
    "a~b",
    "a_b-c.d",
    "...",
    ".hidden",
    "a..b",
    "dir/.../a",
    "ä/ö/ü.jpg",
    "a\u{308}.jpg",
    "日本語/写真.png",
    "🚢.bin",
    "\u{feff}bom",
    " lead",
    "trail ",
    "é+ü %41",
];

/// Keys with segments that walk, which many a server does not take.
pub(super) const WALKING: [&str; 8] = ["dir/../a", "../a", "dir/..", "./a", "dir/./a", "a/../../b", "./.", "dir/."];

pub(super) async fn put(client: &aws_sdk_s3::Client, bucket: &str, keys: &[&str]) {
    for (at, key) in keys.iter().enumerate() {
        let body = ByteStream::from(format!("{at} {key}").into_bytes());
        let put = client.put_object().bucket(bucket).key(*key).body(body);
        put.send().await.unwrap_or_else(|error| panic!("{key:?} is not taken: {error:?}"));
    }
}

pub(super) async fn check(fetcher: &S3Fetcher, grant: &AwsGrant, bucket: &str, keys: &[&str]) {
    for (at, key) in keys.iter().enumerate() {
        let found = read(fetcher, grant, object(bucket, key)).await;
        assert_eq!(found.unwrap_or_else(|fault| panic!("{key:?}: {fault:?}")), format!("{at} {key}"));
    }
}

#[tokio::test]
async fn every_key_is_asked_for_as_it_is() {
    let cloud = Cloud::new(Plan::default()).await;
    let keys: Vec<&str> = KEYS.into_iter().chain(WALKING).collect();
    put(&cloud.customer(), &cloud.bucket, &keys).await;
    check(&cloud.fetcher().await, &cloud.grant(), &cloud.bucket, &keys).await;
}

/// Keys that never end.
struct Root(Arc<AwsKeys>);

#[async_trait]
impl AwsCredentials for Root {
    async fn keys(&self, _: AwsUse<'_>) -> Result<Arc<AwsKeys>, AttachmentFault> {
        Ok(Arc::clone(&self.0))
    }
    async fn refused(&self, _: AwsUse<'_>, _: &AwsKeys) {}
    async fn forget(&self, _: &TeamId) {}
}

fn root(id: &str, secret: &str) -> Arc<Root> {
    Arc::new(Root(Arc::new(AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: secret.into(),
        session_token: None,
    })))
}

fn any_bucket(bucket: &str) -> AwsGrant {
    AwsGrant { buckets: vec![bucket.to_owned()], ..AwsGrant::default() }
}

fn unique() -> String {
    format!("keys-{}", uuid::Uuid::now_v7().simple())
}

#[tokio::test]
async fn a_second_server_reads_the_same_keys() {
    bed::require("weed");
    // One bucket for ever: each new one would take this server's room for seven volumes.
    let (bucket, endpoint) = ("longshore-source-it", bed::weed_endpoint());
    let customer = client(endpoint, Credentials::new("test", "test", None, None, "test"));
    // It may be there already; if it could not be made, the first put says so.
    let _ = customer.create_bucket().bucket(bucket).send().await;
    // A store in folders cannot hold both a folder and an object of one name, nor empty segments.
    let is_foldable = |key: &&str| !key.contains("//") && !key.starts_with('/') && !key.ends_with('/');
    let keys: Vec<&str> = KEYS.into_iter().filter(is_foldable).collect();
    put(&customer, bucket, &keys).await;
    let by_path = fetcher(endpoint, root("test", "test"));
    check(&by_path, &any_bucket(bucket), bucket, &keys).await;
    let hosts = Addressing::VirtualHosts(Url::parse("http://s3.localhost:8333").unwrap());
    let by_host = fetcher_at(hosts, root("test", "test"));
    check(&by_host, &any_bucket(bucket), bucket, &keys).await;
}

#[tokio::test]
async fn a_third_server_reads_keys_that_walk_too() {
    bed::require("ministack");
    let (bucket, endpoint) = (unique(), bed::ministack_endpoint());
    let customer = client(endpoint, Credentials::new("123456789012", "test", None, None, "test"));
    customer.create_bucket().bucket(&bucket).send().await.unwrap();
    let keys: Vec<&str> = KEYS.into_iter().chain(WALKING).collect();
    put(&customer, &bucket, &keys).await;
    let fetcher = fetcher(endpoint, root("123456789012", "test"));
    check(&fetcher, &any_bucket(&bucket), &bucket, &keys).await;
}

#[tokio::test]
async fn buckets_are_asked_by_their_host() {
    let cloud = Cloud::new(Plan::default()).await;
    let hosts = Addressing::VirtualHosts(Url::parse("http://s3.localhost:5600").unwrap());
    let fetcher = fetcher_at(hosts, cloud.identities().await);
    let found = read(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    let asked = cloud.asked().await;
    assert_eq!(asked[0]["path"], "/a.txt");
    assert_eq!(asked[0]["host"], format!("{}.s3.localhost:5600", cloud.bucket));
}

#[tokio::test]
async fn a_bucket_with_dots_is_asked_by_its_path() {
    let cloud = Cloud::new(Plan { bucket_suffix: ".with.dots", ..Plan::default() }).await;
    let found = read(&cloud.fetcher().await, &cloud.grant(), object(&cloud.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    assert_eq!(cloud.asked().await[0]["path"], format!("/{}/a.txt", cloud.bucket));
}
