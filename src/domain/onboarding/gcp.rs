//! A service account of the customer's that we may impersonate, and that reads.

use std::fmt::Write;

use serde::Serialize;

use super::listed_or;

/// What the customer's service account is made of.
#[derive(Debug, Clone, Serialize)]
pub struct GcpInvitation {
    /// Whose.
    pub team: String,
    /// Our own service account.
    pub service_account: String,
    /// What was made for the team; a part of the customer's service account's name.
    pub uid: String,
    /// Buckets; empty: not known yet.
    pub buckets: Vec<String>,
}

impl GcpInvitation {
    /// Commands for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { team, service_account, uid, buckets } = self;
        let account = format!("longshore-{uid}");
        let address = format!("{account}@$PROJECT.iam.gserviceaccount.com");
        let mut text = format!(
            "# Let Longshore read objects of your Google Cloud project, for team {team}. The service account's name must hold\n\
             # {uid}, which is yours alone: only so do we know that it is meant for you.\n\
             PROJECT=YOUR-PROJECT\n\
             gcloud iam service-accounts create {account} --project \"$PROJECT\" --display-name \"Longshore reads for {team}\"\n\
             gcloud iam service-accounts add-iam-policy-binding \"{address}\" --project \"$PROJECT\" \\\n\
             \x20 --member \"serviceAccount:{service_account}\" --role roles/iam.serviceAccountTokenCreator\n"
        );
        for bucket in listed_or(buckets, "YOUR-BUCKET") {
            let line = format!(
                "gcloud storage buckets add-iam-policy-binding gs://{bucket} \\\n  \
                 --member \"serviceAccount:{address}\" --role roles/storage.objectViewer"
            );
            writeln!(text, "{line}").expect("text takes everything");
        }
        let record = format!(
            "\n# The team's record then says:\n#\n# [{team}.gcp]\n# service_account = \"{account}@YOUR-PROJECT.iam.gserviceaccount.com\"\n\
             # uid = \"{uid}\"\n# buckets = [{}]",
            listed_or(buckets, "YOUR-BUCKET").iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
        );
        text + &record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_us_the_uid_and_each_bucket() {
        let invitation = GcpInvitation {
            team: "acme".into(),
            service_account: "us@ours.iam.gserviceaccount.com".into(),
            uid: "ab12cd34ef56".into(),
            buckets: vec!["one".into(), "two".into()],
        };
        let text = invitation.text();
        for part in [
            "create longshore-ab12cd34ef56 ",
            "serviceAccount:us@ours.iam.gserviceaccount.com\" --role roles/iam.serviceAccountTokenCreator",
            "gs://one ",
            "gs://two ",
            "roles/storage.objectViewer",
            "# uid = \"ab12cd34ef56\"",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(GcpInvitation { buckets: Vec::new(), ..invitation }.text().contains("gs://YOUR-BUCKET"));
    }
}
