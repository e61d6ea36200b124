//! What is in the bucket: pages in order, and one object by its stem.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::Bucket;
use super::errors::failed;
use crate::domain::object_key::Key;
use crate::ports::store::StoreError;

/// S3 gives no more in one answer.
const PAGE_MAX: usize = 1000;

/// A stem is a digest, so nothing but its object begins with it; a few more show that something is odd.
const NEAR_MAX: usize = 8;

struct Page<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    token: Option<String>,
    limit: usize,
}

impl Bucket {
    pub(super) async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let (prefix, after) = (format!("{}/", self.full(folder)), after.map(|after| self.full(after)));
        let (mut keys, mut token) = (Vec::new(), None);
        while keys.len() < limit {
            let limit = (limit - keys.len()).min(PAGE_MAX);
            let page = Page { prefix: &prefix, after: after.as_deref(), token, limit };
            let answer = self.page(page).await?;
            keys.extend(self.keys_in(&answer));
            token = answer.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        Ok(keys)
    }

    pub(super) async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        let full = self.full(stem);
        let near = self.page(Page { prefix: &full, after: None, token: None, limit: NEAR_MAX }).await?;
        let found = self.keys_in(&near).find(|key| key.has_stem(stem));
        if found.is_some() || !near.is_truncated().unwrap_or(false) {
            return Ok(found);
        }
        // The bare stem is always the first; so only one with an extension can be behind the crowd.
        let dotted = format!("{full}.");
        let near = self.page(Page { prefix: &dotted, after: None, token: None, limit: NEAR_MAX }).await?;
        Ok(self.keys_in(&near).find(|key| key.has_stem(stem)))
    }

    async fn page(&self, page: Page<'_>) -> Result<ListObjectsV2Output, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(page.prefix);
        let request = request
            .set_start_after(page.after.map(str::to_owned))
            .set_continuation_token(page.token)
            .max_keys(i32::try_from(page.limit).unwrap_or(1000));
        let answer = request.send().await;
        answer.map_err(|error| failed("ListObjectsV2", &format!("s3://{}/{}", self.name, page.prefix), &error))
    }

    /// The keys of ours in an answer: what is no key was put there by somebody else.
    fn keys_in<'a>(&'a self, answer: &'a ListObjectsV2Output) -> impl Iterator<Item = Key> + 'a {
        let names = answer.contents().iter().filter_map(|object| object.key());
        names.filter_map(|name| name.strip_prefix(&self.prefix).and_then(Key::parse))
    }
}
