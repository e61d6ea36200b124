//! The contract of envelopes, kept on the emulator's S3 and with certificates in a folder.

use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use longshore::adapters::credentials::aws::{AwsIdentities, AwsOptions};
use longshore::adapters::envelopes::{CertificateSource, Certificates, EnvelopeReader};
use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::s3::{Addressing, Region, S3Fetcher, S3SourceOptions};
use longshore::domain::message::Pointer;
use longshore::ports::budget::Unlimited;
use longshore::ports::clock::Clock;
use longshore::ports::envelopes::Envelopes;
use longshore::testing::contracts::envelopes::{Post, keeps_the_contract};
use serde_json::Value;

use super::place::Place;
use super::signer::GOOD;
use crate::bed;

struct Emulated {
    place: Place,
    reader: Arc<EnvelopeReader>,
}

#[async_trait]
impl Post for Emulated {
    fn envelopes(&self) -> Arc<dyn Envelopes> {
        Arc::clone(&self.reader) as Arc<dyn Envelopes>
    }

    async fn put(&self, key: &str, body: Bytes) -> Pointer {
        self.place.put(&self.place.bodies, key, body.to_vec()).await;
        Pointer { bucket: self.place.bodies.clone(), key: key.to_owned() }
    }

    async fn missing(&self) -> Pointer {
        Pointer { bucket: self.place.bodies.clone(), key: "missing".to_owned() }
    }

    fn sign(&self, envelope: &mut Value) {
        self.place.signer.sign(envelope, GOOD);
    }
}

#[tokio::test]
async fn envelopes_on_s3_and_in_a_folder_keep_the_contract() {
    let place = Place::new().await;
    let own = SharedCredentialsProvider::new(Credentials::new("111122223333", "test", None, None, "test"));
    let options = AwsOptions { region: "us-east-1".to_owned(), sts_endpoint_url: None, replica: "it".to_owned() };
    let identities = Arc::new(AwsIdentities::with_own(options, own).await);
    let options = S3SourceOptions {
        addressing: Addressing::Endpoint(bed::ministack_endpoint().parse().unwrap()),
        region: Region::parse("us-east-1").unwrap(),
        http: HttpOptions::default(),
    };
    let s3 = Arc::new(S3Fetcher::new(options, identities, Arc::new(Unlimited)).unwrap());
    let certificates = Certificates::new(CertificateSource::Folder(place.folder.path().join("certificates")));
    let reader = Arc::new(EnvelopeReader::new(s3, certificates, Clock::System));
    keeps_the_contract(&Emulated { place, reader }).await;
}
