//! Reads the file of application default credentials: who the worker is, and how it proves that.
//!
//! What is wrong with a file is told by the names of its fields, never by what they hold.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

/// Where keys and refresh tokens are exchanged, unless the file says otherwise.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// The only universe of Google's that is known here.
const UNIVERSE: &str = "googleapis.com";

/// Who the worker is.
#[derive(Debug)]
pub(super) enum Identity {
    /// A service account, by its private key.
    Key(Key),
    /// A person who logged in with `gcloud`.
    User(User),
    /// Somebody of another identity provider: workload identity federation.
    External(Box<External>),
}

/// A service account's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) email: String,
    pub(super) key_id: Option<String>,
    pub(super) private_key: SecretString,
    pub(super) token_url: Url,
}

/// A person's refresh token.
#[derive(Debug)]
pub(super) struct User {
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    pub(super) refresh_token: SecretString,
    pub(super) token_url: Url,
}

/// How a token of another identity provider becomes one of Google's.
#[derive(Debug)]
pub(super) struct External {
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    pub(super) token_url: Url,
    pub(super) subject: Subject,
    /// Whoever is to be impersonated with what was got.
    pub(super) impersonation_url: Option<Url>,
    /// How long the impersonated account's token lasts.
    pub(super) lifetime_secs: u64,
    /// Proves the client, for workforce pools.
    pub(super) client: Option<(String, SecretString)>,
}

/// Where the other provider's token is.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) place: Place,
    /// The field of a JSON document that holds it; none: it is the whole text.
    pub(super) field: Option<String>,
}

/// Where something is read.
#[derive(Debug)]
pub(super) enum Place {
    /// A file, which is written anew before the token ends.
    File(PathBuf),
    /// A service of the machine, asked with these header fields.
    Url { url: Url, fields: Vec<(String, SecretString)> },
}

/// Reads the file's text.
///
/// # Errors
/// What is missing or not supported, as the end of a sentence about the file.
pub(super) fn read(text: &[u8]) -> Result<Identity, String> {
    let file: Value = serde_json::from_slice(text).map_err(|_| "is no JSON document".to_owned())?;
    if optional(&file, "universe_domain").is_some_and(|universe| universe != UNIVERSE) {
        return Err(format!("names a universe_domain other than {UNIVERSE}"));
    }
    match optional(&file, "type") {
        Some("service_account") => key(&file).map(Identity::Key),
        Some("authorized_user") => user(&file).map(Identity::User),
        Some("external_account") => external(&file).map(|external| Identity::External(Box::new(external))),
        Some(_) | None => Err("must have the type service_account, authorized_user or external_account".to_owned()),
    }
}

fn key(file: &Value) -> Result<Key, String> {
    Ok(Key {
        email: text(file, "client_email")?,
        key_id: optional(file, "private_key_id").map(str::to_owned),
        private_key: text(file, "private_key")?.into(),
        token_url: url_or(file, "token_uri", TOKEN_URL)?,
    })
}

fn user(file: &Value) -> Result<User, String> {
    Ok(User {
        client_id: text(file, "client_id")?,
        client_secret: text(file, "client_secret")?.into(),
        refresh_token: text(file, "refresh_token")?.into(),
        token_url: url_or(file, "token_uri", TOKEN_URL)?,
    })
}

fn external(file: &Value) -> Result<External, String> {
    let impersonation = "service_account_impersonation_url";
    let impersonation_url = optional(file, impersonation).map(|text| url(text, impersonation)).transpose()?;
    let client = match (optional(file, "client_id"), optional(file, "client_secret")) {
        (Some(id), Some(secret)) => Some((id.to_owned(), secret.into())),
        (Some(_) | None, _) => None,
    };
    Ok(External {
        audience: text(file, "audience")?,
        subject_token_type: text(file, "subject_token_type")?,
        token_url: url(&text(file, "token_url")?, "token_url")?,
        subject: subject(&file["credential_source"])?,
        impersonation_url,
        lifetime_secs: file["service_account_impersonation"]["token_lifetime_seconds"].as_u64().unwrap_or(3600),
        client,
    })
}

fn subject(source: &Value) -> Result<Subject, String> {
    let place = if let Some(path) = optional(source, "file") {
        Place::File(path.into())
    } else if let Some(address) = optional(source, "url").filter(|_| source["environment_id"].is_null()) {
        let fields = source["headers"].as_object().into_iter().flatten();
        let field = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.into()));
        Place::Url { url: url(address, "credential_source.url")?, fields: fields.filter_map(field).collect() }
    } else {
        return Err("has a credential_source that is neither a file nor a url".to_owned());
    };
    let format = &source["format"];
    let field = match optional(format, "type") {
        None | Some("text") => None,
        Some("json") => Some(text(format, "subject_token_field_name")?),
        Some(_) => return Err("has a credential_source.format that is neither text nor json".to_owned()),
    };
    Ok(Subject { place, field })
}

fn optional<'a>(file: &'a Value, name: &str) -> Option<&'a str> {
    file[name].as_str().filter(|text| !text.is_empty())
}

fn text(file: &Value, name: &str) -> Result<String, String> {
    optional(file, name).map(str::to_owned).ok_or_else(|| format!("has no {name}"))
}

fn url_or(file: &Value, name: &str, otherwise: &str) -> Result<Url, String> {
    url(optional(file, name).unwrap_or(otherwise), name)
}

fn url(text: &str, name: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| format!("has a {name} that is no URL"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(file: &Value, problem: &str) {
        let found = read(file.to_string().as_bytes()).expect_err("a mistake");
        assert!(found.contains(problem), "{found:?} does not say {problem:?}");
        assert!(!found.contains("hush"), "{found:?} tells a secret");
    }

    fn external(more: Value) -> Value {
        let mut file = json!({
            "type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "jwt",
            "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "/run/token"},
        });
        for (name, value) in more.as_object().expect("fields") {
            file[name] = value.clone();
        }
        file
    }

    #[test]
    fn each_kind_of_file_is_read() {
        let key =
            json!({"type": "service_account", "client_email": "us@x", "private_key": "hush", "private_key_id": "1"});
        let Ok(Identity::Key(key)) = read(key.to_string().as_bytes()) else { panic!("a key") };
        assert_eq!((key.email.as_str(), key.key_id.as_deref(), key.token_url.as_str()), ("us@x", Some("1"), TOKEN_URL));
        let user =
            json!({"type": "authorized_user", "client_id": "c", "client_secret": "hush", "refresh_token": "hush"});
        assert!(matches!(read(user.to_string().as_bytes()), Ok(Identity::User(user)) if user.client_id == "c"));
        let Ok(Identity::External(from_file)) = read(external(json!({})).to_string().as_bytes()) else {
            panic!("an external account")
        };
        assert!(matches!(&from_file.subject.place, Place::File(path) if path.ends_with("token")));
        assert_eq!((from_file.subject.field.as_deref(), from_file.lifetime_secs), (None, 3600));
        let from_url = external(json!({
            "credential_source": {"url": "http://h/t", "headers": {"Metadata": "True"},
                "format": {"type": "json", "subject_token_field_name": "access_token"}},
            "service_account_impersonation_url": "https://iam/x:generateAccessToken",
            "service_account_impersonation": {"token_lifetime_seconds": 600},
            "client_id": "c", "client_secret": "hush",
        }));
        let Ok(Identity::External(from_url)) = read(from_url.to_string().as_bytes()) else {
            panic!("an external account")
        };
        assert!(matches!(&from_url.subject.place, Place::Url { fields, .. } if fields[0].0 == "Metadata"));
        assert_eq!(from_url.subject.field.as_deref(), Some("access_token"));
        assert_eq!((from_url.lifetime_secs, from_url.client.is_some()), (600, true));
        assert!(from_url.impersonation_url.is_some());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        assert_eq!(read(b"hush").expect_err("a mistake"), "is no JSON document");
        check(&json!({"type": "hush"}), "must have the type service_account, authorized_user or external_account");
        check(&json!({"type": "service_account", "private_key": "hush"}), "has no client_email");
        check(&json!({"type": "service_account", "client_email": "e", "private_key": ""}), "has no private_key");
        check(&json!({"type": "service_account", "universe_domain": "hush"}), "universe_domain");
        check(&json!({"type": "authorized_user", "client_id": "c", "client_secret": "hush"}), "has no refresh_token");
        check(&external(json!({"token_url": "hush"})), "has a token_url that is no URL");
        check(&external(json!({"token_url": "file:///x"})), "has a token_url that is no URL");
        check(&external(json!({"audience": 3})), "has no audience");
        let aws = json!({"environment_id": "aws1", "url": "http://169.254.169.254/x"});
        for source in [json!({}), json!({"executable": {"command": "hush"}}), aws] {
            check(&external(json!({"credential_source": source})), "neither a file nor a url");
        }
        let format = json!({"file": "f", "format": {"type": "json"}});
        check(&external(json!({"credential_source": format})), "has no subject_token_field_name");
    }
}
