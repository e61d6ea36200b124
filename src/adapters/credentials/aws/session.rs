//! What a session is called, and what it may do: read one bucket.

use serde_json::json;

use crate::domain::id::TeamId;

/// STS's longest session name.
const NAME_BYTES_MAX: usize = 64;

/// A session's name, by which customers find us in their logs: `longshore-TEAM-REPLICA`, as far as STS takes it.
pub(super) fn name(team: &TeamId, replica: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '=' | ',' | '.' | '@' | '-');
    format!("longshore-{team}-{replica}")
        .chars()
        .filter(allowed)
        .take(NAME_BYTES_MAX)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// A session policy that narrows a role to reading `bucket`. A policy can only take rights away.
///
/// Buckets' names hold no character that has a meaning in a policy, and the longest one leaves it far below STS's 2048
/// characters. The KMS key is not known before the object is read, so that it is narrowed to use by way of S3.
pub(super) fn policy(role_arn: &str, bucket: &str) -> String {
    let partition = role_arn.split(':').nth(1).unwrap_or("aws");
    let arn = format!("arn:{partition}:s3:::{bucket}");
    let allow = |actions: &[&str], resource: &str| json!({"Effect": "Allow", "Action": actions, "Resource": resource});
    let mut kms = allow(&["kms:Decrypt"], "*");
    kms["Condition"] = json!({"StringLike": {"kms:ViaService": "s3.*.amazonaws.com*"}});
    let statements =
        [allow(&["s3:GetObject", "s3:GetObjectVersion"], &format!("{arn}/*")), allow(&["s3:ListBucket"], &arn), kms];
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// A session policy that lets a role do nothing: for trying whether it lets us in.
pub(super) fn nothing() -> String {
    let statement = json!({"Effect": "Deny", "Action": "*", "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_sts_takes_and_no_more() {
        let team = |name: &str| TeamId::new(name).unwrap();
        assert_eq!(name(&team("acme"), "host-1"), "longshore-acme-host-1");
        assert_eq!(name(&team("acme"), "häuser/3 x"), "longshore-acme-huser3x");
        assert_eq!(name(&team("acme"), ""), "longshore-acme");
        let long = name(&team(&"a".repeat(64)), "host");
        assert_eq!((long.len(), &long[..11]), (64, "longshore-a"));
    }

    #[test]
    fn a_session_reads_one_bucket_and_nothing_else() {
        let policy: serde_json::Value =
            serde_json::from_str(&policy("arn:aws-cn:iam::111122223333:role/r", "acme-raw")).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        assert_eq!(statements[0]["Resource"], "arn:aws-cn:s3:::acme-raw/*");
        assert_eq!(statements[1]["Resource"], "arn:aws-cn:s3:::acme-raw");
        let actions: Vec<_> = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap()).collect();
        assert_eq!(actions, ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "kms:Decrypt"]);
    }

    #[test]
    fn the_longest_bucket_fits() {
        let policy = policy("arn:aws-us-gov:iam::111122223333:role/r", &"b".repeat(222));
        assert!(policy.len() <= 2048, "{}", policy.len());
    }
}
