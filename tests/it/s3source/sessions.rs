//! Sessions: one for everybody, a new one when it ends, and downloads that outlive them.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::primitives::ByteStream;
use futures::StreamExt;
use futures::stream;
use longshore::adapters::credentials::aws::{AwsIdentities, AwsOptions};

use super::cloud::{Cloud, Plan};
use super::*;
use crate::fault_proxy::FaultProxy;
use crate::fetch::server::{Server, Step};

/// An STS that refuses everything in one way.
pub(super) struct Desk {
    server: Server,
}

impl Desk {
    pub(super) async fn refusing(status: u16, code: &str) -> Self {
        let body = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
        let head = format!("HTTP/1.1 {status} x\r\nContent-Type: text/xml\r\nContent-Length: {}", body.len());
        let answer = format!("{head}\r\nConnection: close\r\n\r\n{body}").into_bytes();
        let server = Server::start(move |_| vec![Step::Send(answer.clone())]).await;
        Self { server }
    }

    /// A fetcher whose roles are assumed here and whose objects lie in the test bed's AWS.
    pub(super) async fn fetcher(&self) -> S3Fetcher {
        let options = AwsOptions {
            region: "us-east-1".to_owned(),
            sts_endpoint_url: Some(format!("http://{}", self.server.address)),
            replica: String::new(),
        };
        let own = SharedCredentialsProvider::new(Credentials::new("k", "s", None, None, "test"));
        let identities = AwsIdentities::with_own(options, own).await;
        fetcher(bed::cloud_endpoint(), Arc::new(identities))
    }
}

/// Reads the object so many times at full concurrency.
async fn read_often(cloud: &Cloud, fetcher: &S3Fetcher, times: usize) {
    let grant = cloud.grant();
    let reads = (0..times).map(|_| read(fetcher, &grant, object(&cloud.bucket, "a.txt")));
    let found: Vec<_> = stream::iter(reads).buffer_unordered(128).collect().await;
    assert_eq!(found.len(), times);
    for content in found {
        assert_eq!(content.unwrap(), "the content");
    }
}

async fn check_one_session_for_all(times: usize) {
    let cloud = Cloud::new(Plan::default()).await;
    let fetcher = cloud.fetcher().await;
    read_often(&cloud, &fetcher, times / 2).await;
    assert_eq!(cloud.assumed().await.len(), 1);
    assert_eq!(cloud.end_sessions().await, 1);
    read_often(&cloud, &fetcher, times / 2).await;
    assert_eq!(cloud.assumed().await.len(), 2, "one for the session that ended");
}

#[tokio::test]
async fn one_session_serves_all_and_one_follows_it() {
    check_one_session_for_all(600).await;
}

mod long {
    #[tokio::test]
    async fn one_session_serves_ten_thousand_attachments_and_one_follows_it() {
        super::check_one_session_for_all(10_000).await;
    }
}

#[tokio::test]
async fn a_download_goes_on_when_its_session_ends_in_the_middle() {
    const BYTES: usize = 16 << 20;
    let cloud = Cloud::new(Plan::default()).await;
    let content: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let put = cloud.customer().put_object().bucket(&cloud.bucket).key("large");
    put.body(ByteStream::from(content.clone())).send().await.unwrap();

    let proxy = FaultProxy::before(bed::cloud_endpoint().strip_prefix("http://").unwrap()).await;
    let (fetcher, grant) = (fetcher(&proxy.endpoint, cloud.identities().await), cloud.grant());
    proxy.cut_next_after(BYTES / 2, 256 << 20).await;
    let mut fetched = open(&fetcher, &grant, object(&cloud.bucket, "large")).await.unwrap();
    assert!(fetched.resumable);
    let mut received = Vec::new();
    let broke = loop {
        match fetched.body.next().await {
            Some(Ok(bytes)) => received.extend_from_slice(&bytes),
            Some(Err(fault)) => break fault,
            None => panic!("the proxy cut nothing"),
        }
    };
    assert_eq!(broke.code, Code::Truncated);
    assert!(received.len() < BYTES, "{}", received.len());

    assert_eq!(cloud.end_sessions().await, 1);
    let rest = Want::Rest { from: received.len() as u64, version: fetched.version.clone() };
    let asked = request(&grant, object(&cloud.bucket, "large"), rest).unwrap();
    let rest = fetcher.open(asked).await.unwrap();
    assert_eq!(statuses(&rest), [400, 206]);
    received.extend(rest.body.try_collect::<Vec<_>>().await.unwrap().concat());
    assert!(received == content, "the halves do not make the whole");
    assert_eq!(cloud.assumed().await.len(), 2);
}
