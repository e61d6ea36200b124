//! Customers with accounts of their own, whose buckets are read with the roles that they gave us.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use futures::StreamExt;
use serde_json::{Value, json};

use super::http::Content;
use super::judge::Judge;
use super::origin::Request;
use super::way::Way;
use crate::bed;
use crate::s3source::cloud::{allow, client, read_and_list, read_only, trust};
use crate::s3source::second_judge::iam;

/// The account that the worker of these tests belongs to; as a key it is that account's root in the emulator of SQS.
pub(crate) const OUR_ACCOUNT: &str = "111122223333";
/// The worker's secret, in every service.
pub(crate) const OUR_SECRET: &str = "test";
/// The worker's name where it is a user of our account.
const OUR_USER: &str = "worker";
/// The role's name in each customer's account.
const ROLE: &str = "Longshore-Integration";

/// How a customer lets us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// By a role that may list the bucket too.
    Role,
    /// By a role that may only read.
    ReadOnlyRole,
    /// By the bucket's own policy, for our account.
    Policy,
    // The bucket's policy would let us in by these, so that a fall-back to our own identity would be felt.
    /// By a role, of which the team's record names another external id.
    WrongId,
    /// By a role, of which the team's record names no external id.
    MissingId,
    /// By a role in somebody else's account, who trusts somebody else.
    StrangersRole,
}

/// The customers of the tests that need any: each way once.
pub(crate) const ALL: [(&str, Door); 4] =
    [("delta", Door::Role), ("echo", Door::ReadOnlyRole), ("golf", Door::Policy), ("hotel", Door::WrongId)];

/// One customer.
pub(crate) struct Customer {
    pub(crate) team: &'static str,
    pub(crate) door: Door,
    pub(crate) account: String,
    pub(crate) bucket: String,
    /// The external id that the role's trust policy asks for.
    pub(crate) external_id: String,
    /// Another account, which has a role of the same name and trusts somebody else.
    stranger: String,
    client: Client,
}

/// Something that lies in a customer's bucket.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) team: &'static str,
    pub(crate) key: String,
    pub(crate) size: usize,
}

/// All customers of a world, and the ways to where their buckets and roles are.
pub(crate) struct Customers {
    pub(crate) s3: Way,
    pub(crate) sts: Way,
    all: BTreeMap<&'static str, Customer>,
}

impl Object {
    /// What it holds: bytes that are told by its name and differ from place to place.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut state = self.key.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| next(state ^ u64::from(byte)));
        let mut bytes = Vec::with_capacity(self.size + 8);
        while bytes.len() < self.size {
            state = next(state);
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(self.size);
        bytes
    }

    /// The digest of what it holds.
    pub(crate) fn content(&self) -> Content {
        Content::of(&self.bytes())
    }
}

/// Xorshift.
fn next(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

impl Customer {
    fn new(team: &'static str, door: Door, endpoint: &str, root: impl Fn(&str) -> Credentials) -> Self {
        let any_account = || format!("{:012}", rand::random_range(200_000_000_000_u64..1_000_000_000_000));
        let (account, stranger) = (any_account(), any_account());
        let client = client(endpoint, root(&account));
        let (bucket, external_id) = (format!("b{account}"), format!("id-of-{account}"));
        Self { team, door, account, bucket, external_id, stranger, client }
    }

    /// The role that it gave us.
    pub(crate) fn role_arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{ROLE}", self.account)
    }

    /// The role in the team's record.
    pub(crate) fn role_in_record(&self) -> String {
        match self.door {
            Door::Role | Door::ReadOnlyRole | Door::Policy | Door::WrongId | Door::MissingId => self.role_arn(),
            Door::StrangersRole => format!("arn:aws:iam::{}:role/{ROLE}", self.stranger),
        }
    }

    /// The source of an object.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// The object's URL with a signature of the bucket's owner, which lets everybody read it for a while.
    pub(crate) async fn signed_url(&self, key: &str) -> String {
        let within = PresigningConfig::expires_in(Duration::from_secs(600)).unwrap();
        let signed = self.client.get_object().bucket(&self.bucket).key(key).presigned(within).await;
        signed.unwrap().uri().to_owned()
    }

    /// What the object's requests ask for.
    pub(crate) fn target(&self, key: &str) -> String {
        let mut target = format!("/{}/", self.bucket);
        for byte in key.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => target.push(byte.into()),
                other => write!(target, "%{other:02X}").unwrap(),
            }
        }
        target
    }

    /// The external id in the team's record.
    pub(crate) fn recorded_id(&self) -> String {
        match self.door {
            Door::Role | Door::ReadOnlyRole | Door::Policy | Door::MissingId | Door::StrangersRole => {
                self.external_id.clone()
            }
            Door::WrongId => format!("not-{}", self.external_id),
        }
    }

    /// The team's record.
    fn record(&self) -> String {
        let (team, bucket) = (self.team, &self.bucket);
        let (role, id) = (self.role_in_record(), self.recorded_id());
        let rights = match self.door {
            Door::Role | Door::ReadOnlyRole | Door::WrongId | Door::StrangersRole => {
                format!("role_arn = \"{role}\"\nexternal_id = \"{id}\"")
            }
            Door::MissingId => format!("role_arn = \"{role}\"\ninsecure = true\nregions = [\"us-east-1\"]"),
            Door::Policy => format!("access = \"cross-account\"\nbucket_owner = \"{}\"", self.account),
        };
        format!("[{team}.aws]\nbuckets = [\"{bucket}\"]\n{rights}\n")
    }

    fn trust(&self) -> Value {
        trust(OUR_ACCOUNT, Some(&self.external_id))
    }

    fn role_policies(&self) -> Value {
        if self.door == Door::ReadOnlyRole { read_only(&self.bucket) } else { read_and_list(&self.bucket) }
    }

    /// What the bucket itself allows, if anything.
    fn bucket_policy(&self) -> Option<Value> {
        let lets_us_in = !matches!(self.door, Door::Role | Door::ReadOnlyRole);
        lets_us_in.then(|| {
            let mut policy = allow(&["s3:GetObject"], &format!("arn:aws:s3:::{}/*", self.bucket));
            policy["Statement"][0]["Principal"] = json!({"AWS": format!("arn:aws:iam::{OUR_ACCOUNT}:root")});
            policy
        })
    }

    async fn put(&self, object: &Object) {
        let put = self.client.put_object().bucket(&self.bucket).key(&object.key);
        put.body(ByteStream::from(object.bytes())).send().await.unwrap();
    }
}

impl Customers {
    /// Customers whose accounts are in the bed's emulator.
    pub(crate) async fn in_the_emulator(teams: &[(&'static str, Door)]) -> Self {
        bed::require("ministack");
        let endpoint = bed::ministack_endpoint();
        let root = |account: &str| Credentials::new(account, "test", None, None, "test");
        let mut all = BTreeMap::new();
        for (team, door) in teams {
            let customer = Customer::new(team, *door, endpoint, root);
            customer.client.create_bucket().bucket(&customer.bucket).send().await.unwrap();
            if let Some(policy) = customer.bucket_policy() {
                let put = customer.client.put_bucket_policy().bucket(&customer.bucket);
                put.policy(policy.to_string()).send().await.unwrap();
            }
            let trust = customer.trust().to_string();
            let create = [("Action", "CreateRole"), ("RoleName", ROLE), ("AssumeRolePolicyDocument", trust.as_str())];
            iam(&customer.account, &create).await;
            for (number, policy) in customer.role_policies().as_array().unwrap().iter().enumerate() {
                let (name, policy) = (format!("p{number}"), policy.to_string());
                let put = [("Action", "PutRolePolicy"), ("RoleName", ROLE)];
                iam(&customer.account, &[&put[..], &[("PolicyName", &name), ("PolicyDocument", &policy)]].concat())
                    .await;
            }
            all.insert(customer.team, customer);
        }
        Self::found_at(endpoint, all).await
    }

    /// Customers whose accounts are in a judge of the test's own.
    pub(crate) async fn before(judge: &Judge, teams: &[(&'static str, Door)]) -> Self {
        let user = json!({
            "name": OUR_USER,
            "key": {"id": OUR_ACCOUNT, "secret": OUR_SECRET},
            // Our own worker may ask for anything: what it may not do, only the customer's side refuses.
            "policies": [allow(&["sts:AssumeRole", "s3:*"], "*")],
        });
        judge.control("POST", "apply", &json!({"accounts": [{"id": OUR_ACCOUNT, "users": [user]}]})).await;
        let mut all = BTreeMap::new();
        for (team, door) in teams {
            let nobody = |_: &str| Credentials::new("nobody", "knows", None, None, "test");
            let mut customer = Customer::new(team, *door, &judge.endpoint(), nobody);
            let role = json!({"name": ROLE, "trust": customer.trust(), "policies": customer.role_policies()});
            let mut bucket = json!({"name": customer.bucket});
            if let Some(policy) = customer.bucket_policy() {
                bucket["policy"] = policy;
            }
            let strange = json!({"name": ROLE, "trust": trust("000000000000", Some(&customer.external_id))});
            let manifest = json!({"accounts": [
                {"id": customer.account, "roles": [role], "buckets": [bucket]},
                {"id": customer.stranger, "roles": [strange]},
            ]});
            let keys = judge.control("POST", "apply", &manifest).await[&customer.account].clone();
            let text = |name: &str| keys[name].as_str().unwrap();
            let root = Credentials::new(text("access_key_id"), text("secret_access_key"), None, None, "test");
            customer.client = client(&judge.endpoint(), root);
            all.insert(customer.team, customer);
        }
        Self::found_at(&judge.endpoint(), all).await
    }

    async fn found_at(endpoint: &str, all: BTreeMap<&'static str, Customer>) -> Self {
        Self { s3: Way::open(endpoint).await, sts: Way::open(endpoint).await, all }
    }

    /// The customer that is this team.
    pub(crate) fn of(&self, team: &str) -> Option<&Customer> {
        self.all.get(team)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Customer> {
        self.all.values()
    }

    /// The part of the teams file that is theirs.
    pub(crate) fn records(&self) -> String {
        self.all().map(Customer::record).collect()
    }

    /// Puts objects into their buckets.
    pub(crate) async fn put(&self, objects: &[Object]) {
        let putting = objects.iter().map(|object| self.all[object.team].put(object));
        futures::stream::iter(putting).buffer_unordered(16).collect::<()>().await;
    }

    /// Every request for an object, as an origin's log has them. How an answer ended is not known: each counts as whole.
    pub(crate) fn log(&self) -> Vec<Request> {
        let request = |asked: super::way::Asked| Request {
            time: Duration::from_millis(asked.at_ms).as_secs_f64(),
            method: asked.method,
            target: asked.target,
            status: Some(200),
            whole: true,
            ..Request::default()
        };
        self.s3.asked().into_iter().map(request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Object;

    #[test]
    fn an_object_holds_other_bytes_at_each_place_and_under_each_key() {
        let object = |key: &str| Object { team: "delta", key: key.to_owned(), size: 100_001 }.bytes();
        let bytes = object("a");
        assert_eq!(bytes.len(), 100_001);
        assert_ne!(bytes, object("b"));
        assert_ne!(bytes[..4096], bytes[4096..8192]);
    }
}
