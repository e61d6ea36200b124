//! The same rules before another judge: an emulator by other hands, with its own reading of trust policies and signatures.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use longshore::adapters::credentials::aws::{AwsIdentities, AwsOptions};

use super::cloud::{client, read_only, trust};
use super::keys::{KEYS, WALKING, check as check_keys, put};
use super::*;

/// Calls IAM as an account's root, whose signature this emulator does not look at.
pub(crate) async fn iam(account: &str, fields: &[(&str, &str)]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = bed::ministack_endpoint().strip_prefix("http://").unwrap();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let form = form.append_pair("Version", "2010-05-08").extend_pairs(fields).finish();
    let scope = format!("{account}/20260101/us-east-1/iam/aws4_request");
    let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x");
    let head = format!("POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: {signed}");
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let asked = format!("{head}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{form}", form.len());
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn another_judge_lets_in_the_same_and_refuses_the_same() {
    bed::require("ministack");
    let account = || format!("{:012}", rand::random_range(100_000_000_000_u64..1_000_000_000_000));
    let (us, them, endpoint) = (account(), account(), bed::ministack_endpoint());
    let bucket = format!("b{them}");
    let customer = client(endpoint, Credentials::new(&them, "test", None, None, "test"));
    customer.create_bucket().bucket(&bucket).send().await.unwrap();
    // Where it looks at policies, it takes a key of nothing but a slash for the bucket itself.
    let keys: Vec<&str> = KEYS.into_iter().chain(WALKING).filter(|key| *key != "/").collect();
    put(&customer, &bucket, &keys).await;
    let trust = trust(&us, Some("the-right-id")).to_string();
    let create = [("Action", "CreateRole"), ("RoleName", "R"), ("AssumeRolePolicyDocument", &trust)];
    iam(&them, &create).await;
    let policy = read_only(&bucket)[0].to_string();
    let attach = [("Action", "PutRolePolicy"), ("RoleName", "R"), ("PolicyName", "p"), ("PolicyDocument", &policy)];
    iam(&them, &attach).await;

    let options = AwsOptions {
        region: "us-east-1".to_owned(),
        sts_endpoint_url: Some(endpoint.to_owned()),
        replica: "it".to_owned(),
    };
    let own = SharedCredentialsProvider::new(Credentials::new(&us, "test", None, None, "test"));
    let fetcher = fetcher(endpoint, Arc::new(AwsIdentities::with_own(options, own).await));
    let grant = |external_id: &str| AwsGrant {
        role_arn: Some(format!("arn:aws:iam::{them}:role/R")),
        external_id: Some(external_id.to_owned()),
        ..AwsGrant::default()
    };
    check_keys(&fetcher, &grant("the-right-id"), &bucket, &keys).await;
    let missing = read(&fetcher, &grant("the-right-id"), object(&bucket, "missing")).await;
    let fault = missing.unwrap_err();
    assert!(matches!(fault.code, Code::AccessDeniedOrMissing | Code::NotFound), "{fault:?}");
    let wrong = read(&fetcher, &grant("another-id"), object(&bucket, "plain.jpg")).await;
    check_code(wrong, Code::IntegrationBroken);
}
