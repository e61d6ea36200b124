//! Accounts of a test's own in the test bed's AWS: ours with a worker, and a customer's with a role and a bucket.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use longshore::adapters::credentials::aws::{AwsIdentities, AwsOptions};
use longshore::adapters::fetch::s3::S3Fetcher;
use longshore::domain::team::AwsGrant;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bed;

/// The external id that the role's trust policy asks for.
pub(crate) const EXTERNAL_ID: &str = "6f1d0c1e-acme";

/// A customer's account and ours.
pub(crate) struct Cloud {
    pub(crate) us: String,
    pub(crate) them: String,
    pub(crate) bucket: String,
    keys: Value,
}

/// What differs from the usual customer: a role that may read and list one bucket, which holds `a.txt`.
pub(crate) struct Plan {
    pub(crate) region: &'static str,
    pub(crate) bucket_suffix: &'static str,
    pub(crate) role_policies: fn(&str) -> Value,
    pub(crate) objects: Value,
    pub(crate) versions: bool,
    /// Lets our own worker read the bucket, as cross-account customers do.
    pub(crate) lets_us_read: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            region: "us-east-1",
            bucket_suffix: "",
            role_policies: read_and_list,
            objects: json!({"a.txt": "the content"}),
            versions: false,
            lets_us_read: false,
        }
    }
}

pub(crate) fn allow(actions: &[&str], resource: &str) -> Value {
    let statement = json!({"Effect": "Allow", "Action": actions, "Resource": resource});
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

pub(crate) fn read_and_list(bucket: &str) -> Value {
    let objects = format!("arn:aws:s3:::{bucket}/*");
    json!([
        allow(&["s3:GetObject", "s3:GetObjectVersion"], &objects),
        allow(&["s3:ListBucket"], &format!("arn:aws:s3:::{bucket}")),
    ])
}

fn lets_read(us: &str, bucket: &str) -> Value {
    let mut policy = allow(&["s3:GetObject"], &format!("arn:aws:s3:::{bucket}/*"));
    policy["Statement"][0]["Principal"] = json!({"AWS": format!("arn:aws:iam::{us}:root")});
    policy
}

pub(crate) fn read_only(bucket: &str) -> Value {
    json!([allow(&["s3:GetObject"], &format!("arn:aws:s3:::{bucket}/*"))])
}

impl Cloud {
    pub(crate) async fn new(plan: Plan) -> Self {
        bed::require("cloud");
        let account = || format!("{:012}", rand::random_range(100_000_000_000_u64..1_000_000_000_000));
        let (us, them) = (account(), account());
        let bucket = format!("b{them}{}", plan.bucket_suffix);
        let mut customer_bucket = json!({"name": bucket, "region": plan.region, "objects": plan.objects});
        customer_bucket["versions"] = json!(plan.versions);
        if plan.lets_us_read {
            customer_bucket["policy"] = lets_read(&us, &bucket);
        }
        let role = json!({
            "name": "Longshore-Integration",
            "trust": trust(&us, Some(EXTERNAL_ID)),
            "policies": (plan.role_policies)(&bucket),
        });
        // Our own worker may ask for anything: what it may not do, only the customer's side refuses.
        let worker = json!({"name": "worker", "policies": [allow(&["sts:AssumeRole", "s3:*"], "*")]});
        let manifest = json!({"accounts": [
            {"id": us, "users": [worker]},
            {"id": them, "roles": [role], "buckets": [customer_bucket]},
        ]});
        let keys = control("POST", "apply", &manifest).await;
        assert!(keys.get("error").is_none(), "{keys}");
        Self { us, them, bucket, keys }
    }

    pub(crate) fn role_arn(&self) -> String {
        format!("arn:aws:iam::{}:role/Longshore-Integration", self.them)
    }

    /// The team's record as it should be.
    pub(crate) fn grant(&self) -> AwsGrant {
        AwsGrant {
            role_arn: Some(self.role_arn()),
            external_id: Some(EXTERNAL_ID.to_owned()),
            bucket_owner: Some(self.them.clone()),
            ..AwsGrant::default()
        }
    }

    /// The access key of our worker, and its secret.
    pub(crate) fn our_keys(&self) -> [&str; 2] {
        let keys = &self.keys[&self.us]["users"]["worker"];
        ["access_key_id", "secret_access_key"].map(|name| keys[name].as_str().unwrap())
    }

    /// The identities of our worker.
    pub(crate) async fn identities(&self) -> Arc<AwsIdentities> {
        self.identities_of(credentials(&self.keys[&self.us]["users"]["worker"])).await
    }

    /// The identities of a worker with these keys.
    pub(crate) async fn identities_of(&self, own: Credentials) -> Arc<AwsIdentities> {
        let options = AwsOptions {
            region: "us-east-1".to_owned(),
            sts_endpoint_url: Some(bed::cloud_endpoint().to_owned()),
            replica: "it".to_owned(),
        };
        let own = SharedCredentialsProvider::new(own);
        Arc::new(AwsIdentities::with_own(options, own).await)
    }

    pub(crate) async fn fetcher(&self) -> S3Fetcher {
        super::fetcher(bed::cloud_endpoint(), self.identities().await)
    }

    /// The bucket lets a worker's account read, as cross-account customers do.
    pub(crate) async fn lets_read(&self, us: &str) {
        let policy = lets_read(us, &self.bucket).to_string();
        self.customer().put_bucket_policy().bucket(&self.bucket).policy(policy).send().await.unwrap();
    }

    /// The customer's own client, which is not ours.
    pub(crate) fn customer(&self) -> aws_sdk_s3::Client {
        client(bed::cloud_endpoint(), credentials(&self.keys[&self.them]))
    }

    /// The journal's entries that name this customer's role.
    pub(crate) async fn assumed(&self) -> Vec<Value> {
        let mut entries = journal(&self.role_arn()).await;
        entries.retain(|entry| entry["role"] == self.role_arn().as_str());
        entries
    }

    /// The journal's entries about this customer's bucket.
    pub(crate) async fn asked(&self) -> Vec<Value> {
        let mut entries = journal(&self.bucket).await;
        let us = [self.us.as_str(), "assumed-role"];
        // The customer's own requests are of no matter.
        entries.retain(|entry| {
            let who = entry["principal"].as_str().unwrap_or_default();
            entry["service"] == "s3" && us.iter().any(|part| who.contains(part))
        });
        entries
    }

    /// Ends the role's running sessions.
    pub(crate) async fn end_sessions(&self) -> u64 {
        let ended = control("POST", "expire", &json!({"role": self.role_arn()})).await;
        ended["expired"].as_u64().unwrap()
    }

    /// Lets the next requests for this bucket fail so.
    pub(crate) async fn fail(&self, status: u16, code: &str, headers: Value) {
        let path = format!("/{}/*", self.bucket);
        let fault = json!({"path": path, "status": status, "code": code, "headers": headers});
        control("POST", "faults", &fault).await;
    }
}

pub(crate) fn trust(us: &str, external_id: Option<&str>) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": format!("arn:aws:iam::{us}:root")},
    });
    if let Some(id) = external_id {
        statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": id}});
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

pub(crate) fn client(endpoint: &str, credentials: Credentials) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

fn credentials(keys: &Value) -> Credentials {
    let text = |name: &str| keys[name].as_str().unwrap();
    Credentials::new(text("access_key_id"), text("secret_access_key"), None, None, "test")
}

pub(crate) async fn journal(holds: &str) -> Vec<Value> {
    let entries = control("GET", &format!("journal?holds={holds}"), &json!({})).await;
    entries.as_array().unwrap().clone()
}

/// Calls the test bed's own API.
pub(crate) async fn control(method: &str, name: &str, body: &Value) -> Value {
    let address = bed::cloud_endpoint().strip_prefix("http://").unwrap();
    let answer = call(address, method, &format!("/_testbed/{name}"), body).await;
    serde_json::from_str(&answer).unwrap()
}

/// Posts a document and returns the answer's body, which must be a success.
pub(crate) async fn call(address: &str, method: &str, path: &str, body: &Value) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close");
    let asked = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    assert!(head.contains(" 200 "), "{method} {path}: {answer}");
    body.to_owned()
}
