//! Looks whether objects of a bucket can be read, although nobody has named one.
//!
//! Its list names an object, which is then opened. An empty bucket answers for a made-up key that there is no such object. Where
//! the list is shut, S3 refuses a made-up key and a shut object alike; only the words of its refusal may tell which right was
//! missing, and without such words nothing is shown.

use reqwest::Method;

use crate::adapters::fetch::s3::S3Fetcher;
use crate::adapters::fetch::s3::address::Region;
use crate::adapters::fetch::s3::ask::{Asked, Spelling, Way};
use crate::adapters::fetch::s3::refusal::region_in;
use crate::adapters::fetch::worded::{WORDS_BYTES_MAX, element};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::integration::{CheckName, Finding, Verdict};
use crate::domain::source::form_decoded;
use crate::ports::fetcher::Want;

/// What the bucket's list shows.
enum Listing {
    /// An object of this key.
    Key(String),
    Empty,
    Refused,
    Unclear(String),
}

impl S3Fetcher {
    /// Checks a bucket; `asked` names a key that no object has.
    pub(super) async fn check_bucket(&self, asked: &Asked) -> Vec<Finding> {
        let bucket = &asked.bucket;
        let about = |name, verdict, message: String| Finding::about(name, bucket, verdict, message);
        let way = match self.way_to_bucket(asked).await {
            Ok(way) => way,
            Err(fault) => return vec![about(CheckName::BucketReadable, verdict_of(&fault), fault.message)],
        };
        let region = way.region.as_str().to_owned();
        if !asked.allows(&way.region) {
            let message = format!("bucket {bucket} is in {region}: add that to the team's regions");
            let unread = "not looked at, since its region is not one of the team's".to_owned();
            return vec![
                about(CheckName::RegionAllowed, Verdict::Bad, message),
                about(CheckName::BucketReadable, Verdict::Unproven, unread),
            ];
        }
        let (verdict, message) = self.check_reading(asked, &way).await;
        vec![
            about(CheckName::RegionAllowed, Verdict::Good, format!("bucket {bucket} is in {region}")),
            about(CheckName::BucketReadable, verdict, message),
        ]
    }

    /// The way to the bucket in the region that it is in, whether the team lists that or not.
    ///
    /// # Errors
    /// A fault that left nobody to ask, or a bucket that is not there.
    pub(super) async fn way_to_bucket(&self, asked: &Asked) -> Result<Way, AttachmentFault> {
        let keys = self.credentials.keys(asked.usage()).await?;
        let first = Way { region: self.first_region(asked).await, keys, spelling: Spelling::OfTheKey };
        let answer = self.send(asked, &first, &asked.bucket_itself(Method::HEAD), &mut Vec::new()).await?;
        if answer.status().as_u16() == 404 {
            return Err(AttachmentFault::new(Code::NotFound, format!("there is no bucket {}", asked.bucket)));
        }
        let region: Region = region_in(answer.headers()).unwrap_or_else(|| first.region.clone());
        if asked.allows(&region) {
            self.regions.insert(asked.bucket.clone(), region.clone()).await;
        }
        Ok(Way { region, ..first })
    }

    async fn check_reading(&self, asked: &Asked, way: &Way) -> (Verdict, String) {
        let bucket = &asked.bucket;
        match self.first_listed(asked, way).await {
            Listing::Key(key) => match self.open_key(asked, &key).await {
                Ok(()) => (Verdict::Good, format!("s3://{bucket}/{key} can be read")),
                Err(fault) if fault.code == Code::Archived => {
                    (Verdict::Good, format!("s3://{bucket}/{key} may be read, but lies in an archive"))
                }
                Err(fault) if is_refusal(&fault) => {
                    let message = format!(
                        "the bucket's list is open, and its objects are not: grant s3:GetObject on arn:aws:s3:::{bucket}/*"
                    );
                    (Verdict::Bad, message)
                }
                Err(fault) => (verdict_of(&fault), fault.message),
            },
            Listing::Empty => match self.open_key(asked, &asked.key).await {
                Err(fault) if fault.code == Code::NotFound => {
                    (Verdict::Good, format!("bucket {bucket} is empty, and may be read"))
                }
                Err(fault) if is_refusal(&fault) => {
                    (Verdict::Bad, format!("objects are refused: grant s3:GetObject on arn:aws:s3:::{bucket}/*"))
                }
                Err(fault) => (verdict_of(&fault), fault.message),
                Ok(()) => (Verdict::Good, format!("bucket {bucket} can be read")),
            },
            Listing::Refused => self.check_without_list(asked, way).await,
            Listing::Unclear(why) => (Verdict::Unproven, why),
        }
    }

    /// What can be said of a bucket whose list is shut.
    async fn check_without_list(&self, asked: &Asked, way: &Way) -> (Verdict, String) {
        let bucket = &asked.bucket;
        let fault = match self.open_key(asked, &asked.key).await {
            Ok(()) => return (Verdict::Good, format!("bucket {bucket} can be read")),
            Err(fault) => fault,
        };
        match fault.code {
            Code::NotFound => return (Verdict::Good, format!("bucket {bucket} can be read")),
            Code::AccessDenied | Code::AccessDeniedOrMissing => {}
            _ => return (verdict_of(&fault), fault.message),
        }
        let words = self.words_of_refusal(asked, way).await;
        // Nobody else reads these words, and none of them is handed on.
        match (words.contains("s3:GetObject"), words.contains("s3:ListBucket")) {
            (true, _) => (Verdict::Bad, format!("objects are refused: grant s3:GetObject on arn:aws:s3:::{bucket}/*")),
            (false, true) => (Verdict::Good, format!("objects of bucket {bucket} may be read; its list is shut")),
            (false, false) => {
                let message = format!(
                    "cannot be shown, since the bucket's list is shut: grant s3:ListBucket on arn:aws:s3:::{bucket}, or check \
                     an object with --url s3://{bucket}/KEY"
                );
                (Verdict::Unproven, message)
            }
        }
    }

    async fn words_of_refusal(&self, asked: &Asked, way: &Way) -> String {
        let Ok(ask) = asked.object(&Want::Body) else { return String::new() };
        match self.send(asked, way, &ask, &mut Vec::new()).await {
            Ok(answer) => String::from_utf8_lossy(&self.wire.words(answer, WORDS_BYTES_MAX).await).into_owned(),
            Err(_) => String::new(),
        }
    }

    async fn first_listed(&self, asked: &Asked, way: &Way) -> Listing {
        let mut ask = asked.bucket_itself(Method::GET);
        ask.query = vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", "1")];
        let answer = match self.send(asked, way, &ask, &mut Vec::new()).await {
            Ok(answer) => answer,
            Err(fault) => return Listing::Unclear(fault.message),
        };
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Listing::Refused,
            status => return Listing::Unclear(format!("the bucket's list answered {status}")),
        }
        let words = self.wire.words(answer, WORDS_BYTES_MAX).await;
        let words = String::from_utf8_lossy(&words);
        let first = element(&words, "Contents").and_then(|contents| element(contents, "Key"));
        match (first, first.and_then(form_decoded)) {
            (_, Some(key)) => Listing::Key(key),
            (None, None) if words.contains("</ListBucketResult>") => Listing::Empty,
            (_, None) => Listing::Unclear("the bucket's list is not understood".to_owned()),
        }
    }

    /// Opens an object, and lets its body go unread.
    async fn open_key(&self, asked: &Asked, key: &str) -> Result<(), AttachmentFault> {
        let named = Asked { key: key.to_owned(), ..asked.clone() };
        self.answer(&named, &Want::Body).await.map(drop)
    }
}

fn is_refusal(fault: &AttachmentFault) -> bool {
    matches!(fault.code, Code::AccessDenied | Code::AccessDeniedOrMissing)
}

/// What passes shows nothing.
fn verdict_of(fault: &AttachmentFault) -> Verdict {
    if fault.code.is_transient() { Verdict::Unproven } else { Verdict::Bad }
}
