//! Pointers of the SQS extended clients: the body lies in a bucket, and the message only says where.

use serde_json::Value;

use super::Problem;
use super::fields::Fields;
use crate::domain::source;

/// The classes by which the extended clients mark their pointers, the older one last.
const CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// Where a message's body lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The bucket.
    pub bucket: String,
    /// The object's key, as it is.
    pub key: String,
}

/// Whether a list is a pointer: a class's name and an object that names bucket and key.
pub(super) fn is_pointer(items: &[Value]) -> bool {
    let class = items.first().and_then(Value::as_str);
    items.len() == 2 && class.is_some_and(|class| CLASSES.contains(&class))
}

/// Reads a list that is a pointer.
pub(super) fn read(items: Vec<Value>) -> Result<Pointer, Problem> {
    let Some(Value::Object(object)) = items.into_iter().nth(1) else {
        return Err("the pointer names no object".to_owned());
    };
    let mut fields = Fields::below(object, "the pointer's ".to_owned());
    let mut text = |name: &str| fields.text(name)?.ok_or_else(|| format!("the pointer's {name} is missing"));
    let (bucket, key) = (text("s3BucketName")?, text("s3Key")?);
    let checked = source::check_bucket_of_s3(&bucket).and_then(|()| source::check_object(&bucket, &key));
    checked.map_err(|fault| format!("the pointer: {}", fault.message))?;
    Ok(Pointer { bucket, key })
}
