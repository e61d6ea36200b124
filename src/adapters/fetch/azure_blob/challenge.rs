//! The tenant that a challenge names: whose tokens the storage account takes. It is compared, and never asked.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

use crate::domain::access::azure::tenant_id;

/// Longest field that is looked at.
const FIELD_BYTES_MAX: usize = 4096;

/// Whether a bearer challenge among these fields names a tenant, and only others than `tenant`.
pub(super) fn names_another(headers: &HeaderMap, tenant: &str) -> bool {
    let named: Vec<String> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .filter(|field| field.len() <= FIELD_BYTES_MAX)
        .flat_map(tenants)
        .collect();
    !named.is_empty() && named.iter().all(|named| named != tenant)
}

/// The tenants that a field names by their ids, as `Bearer authorization_uri=https://HOST/TENANT/oauth2/authorize …`. Parameters
/// are found wherever they stand, since storage writes spaces where the grammar has commas.
fn tenants(field: &str) -> Vec<String> {
    let Some(start) = field.to_ascii_lowercase().find("bearer") else {
        return Vec::new();
    };
    let parameters = field[start..].split([' ', ',', '\t']).filter_map(|word| word.trim().split_once('='));
    let uris = parameters.filter(|(name, _)| {
        name.eq_ignore_ascii_case("authorization_uri") || name.eq_ignore_ascii_case("authorization")
    });
    uris.filter_map(|(_, uri)| {
        let uri = Url::parse(uri.trim_matches('"')).ok()?;
        uri.path_segments()?.find_map(tenant_id)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    const OURS: &str = "7c2f36a1-0000-4000-8000-0123456789ab";
    const OTHER: &str = "11111111-0000-4000-8000-0123456789ab";

    fn check(fields: &[String], expected: bool) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(field).unwrap());
        }
        assert_eq!(names_another(&headers, OURS), expected, "{fields:?}");
    }

    #[test]
    fn a_challenge_names_our_tenant_another_or_none() {
        let uri = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/oauth2/authorize");
        let storage =
            |tenant: &str| format!("Bearer authorization_uri={} resource_id=https://storage.azure.com", uri(tenant));
        check(&[storage(OURS)], false);
        check(&[storage(&OURS.to_uppercase())], false);
        check(&[storage(OTHER)], true);
        check(&[format!("Bearer authorization=\"{}\", resource=\"x\"", uri(OTHER))], true);
        check(&[format!("bearer realm=\"\", Authorization_Uri=\"{}\"", uri(OTHER))], true);
        check(&["Basic realm=x".to_owned(), storage(OTHER)], true);
        check(&[storage(OTHER), storage(OURS)], false);
        check(&[format!("Bearer authorization_uri=https://login.test/v2/{OTHER}/authorize")], true);
        for nothing in ["Bearer", "Basic realm=x", "Bearer authorization_uri=x", "Bearer resource_id=https://x", ""] {
            check(&[nothing.to_owned()], false);
        }
        check(&[storage("common"), storage("acme.com")], false);
        check(&[], false);
    }
}
