//! Grants on Google Cloud Storage, before token services and a gate that enforce who may act for whom and who may read what.

use serde_json::{Value, json};

use super::{Column, Found, LARGE, ended_in_the_middle};
use crate::fault_proxy::FaultProxy;
use crate::gcssource::google::{Customer, Google, US};
use crate::gcssource::program::{Ground, code};
use crate::grants::office::no_plain_host;

/// How a customer lets a team in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By an account of its own that we may impersonate.
    Role,
    /// By a right of our own account.
    Own,
    /// By an account of its own, for https URLs.
    Https,
}

impl Way {
    fn record(self, team: &str, customer: &Customer) -> String {
        match self {
            Self::Role => customer.table(team),
            Self::Own => format!("[{team}.gcp]\nbuckets = [\"{}\"]\n", customer.bucket),
            Self::Https => customer.table(team) + "recognize_https = true\n" + &no_plain_host(team),
        }
    }

    fn no_record(self, team: &str) -> String {
        match self {
            Self::Https => no_plain_host(team),
            Self::Role | Self::Own => format!("[{team}]\n"),
        }
    }

    fn url(self, customer: &Customer, name: &str) -> String {
        match self {
            Self::Https => format!("https://storage.googleapis.com/{}/{name}", customer.bucket),
            Self::Role | Self::Own => format!("gs://{}/{name}", customer.bucket),
        }
    }

    /// Who is to read.
    fn reader(self, customer: &Customer) -> &str {
        match self {
            Self::Own => US,
            Self::Role | Self::Https => &customer.account,
        }
    }
}

/// What the customer set up. Our own account may read in any case but where its right is what is wrong.
async fn set_up(google: &Google, way: Way, column: Column, customer: &Customer) {
    let (creators, readers) = match (way, column) {
        (Way::Own, Column::Wrong) => (&[][..], vec![customer.account.as_str()]),
        (Way::Role | Way::Https, Column::Wrong) => (&["somebody@else"][..], vec![US, &customer.account]),
        (Way::Own | Way::Role | Way::Https, _) => (&[US][..], vec![US, &customer.account]),
    };
    google.grant(customer, creators, json!({"readers": readers})).await;
}

async fn withdraw(google: &Google, way: Way, customer: &Customer) {
    match way {
        Way::Own => google.grant(customer, &[], json!({"readers": [customer.account]})).await,
        Way::Role | Way::Https => google.grant(customer, &[], json!({"readers": [US, customer.account]})).await,
    }
}

pub(super) async fn cell(google: &Google, way: Way, column: Column) -> Found {
    let begun = google.journal().await.len();
    let customer = google.customer().await;
    set_up(google, way, column, &customer).await;
    let record = if column == Column::Missing { way.no_record("acme") } else { way.record("acme", &customer) };
    let gate = format!("http://{}", google.gate());
    let ground = Ground::new(google, &gate, &record).await;
    let url = way.url(&customer, "a.txt");
    let (mut first, mut own) = ("reads".to_owned(), None);
    let outcome = match column {
        Column::Right | Column::Missing | Column::Wrong => fetched(&ground, "acme", &url).await,
        Column::Expired => expired(google, way, &customer, &record).await,
        Column::Withdrawn => {
            first = fetched(&ground, "acme", &url).await;
            withdraw(google, way, &customer).await;
            fetched(&ground, "acme", &url).await
        }
        Column::OtherTeam => {
            first = fetched(&ground, "acme", &url).await;
            let other = own.insert(google.customer().await);
            set_up(google, way, Column::Right, other).await;
            google.grant(&customer, &[US], json!({"readers": [US, customer.account, other.account]})).await;
            let bolt = way.record("bolt", other);
            ground.teams(&bolt);
            let good = fetched(&ground, "bolt", &way.url(other, "a.txt")).await;
            let both = format!("[\"{}\", \"{}\"]", other.bucket, customer.bucket);
            ground.teams(&bolt.replace(&format!("[\"{}\"]", other.bucket), &both));
            let found = fetched(&ground, "bolt", &url).await;
            if good == "reads" { found } else { format!("its own: {good}") }
        }
    };
    Found {
        outcome: if first == "reads" { outcome } else { format!("first: {first}") },
        strangers: strangers(google, way, column, (&customer, own.as_ref()), begun).await,
    }
}

async fn fetched(ground: &Ground, team: &str, url: &str) -> String {
    let outcome = &ground.work(&[(team, url)]).await[team];
    ground.check_nothing_leaked();
    match code(outcome) {
        "stored" => {
            assert_eq!(outcome["object"]["bytes"], "the content".len(), "{outcome}");
            "reads".to_owned()
        }
        code => code.to_owned(),
    }
}

/// The token ends in the middle of a body: it goes on with a new one.
async fn expired(google: &Google, way: Way, customer: &Customer, record: &str) -> String {
    let content: Vec<u8> = (0..LARGE).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    customer.put("large", &content).await;
    let proxy = FaultProxy::before(&google.gate().to_string()).await;
    proxy.hang_next_after(LARGE / 2).await;
    let ground = Ground::new(google, &proxy.endpoint, record).await;
    let (url, reader) = (way.url(customer, "large"), way.reader(customer));
    let tasks = [("acme", url.as_str())];
    let reading = ground.work(&tasks);
    let asked = async || !asked_for(google, customer).await.is_empty();
    let ending = async {
        google.revoke(reader).await;
        proxy.sever().await;
    };
    let found = ended_in_the_middle(reading, asked, ending).await;
    ground.check_nothing_leaked();
    let outcome = &found["acme"];
    let nobodys = asked_for(google, customer).await.iter().filter(|entry| is_of_an_ended_token(entry)).count();
    match code(outcome) {
        "stored" if nobodys == 0 => "read with one token".to_owned(),
        "stored" => {
            let digest = longshore::domain::digest::Sha256::of(&content).to_string();
            assert_eq!(outcome["object"]["sha256"], digest, "the halves do not make the whole");
            "reads".to_owned()
        }
        code => code.to_owned(),
    }
}

/// What the gate was asked of the customer's bucket.
async fn asked_for(google: &Google, customer: &Customer) -> Vec<Value> {
    let mut entries = google.journal().await;
    let path = |entry: &Value| entry["path"].as_str().unwrap_or_default().to_owned();
    entries.retain(|entry| entry["server"] == "gcs" && path(entry).contains(&customer.bucket));
    entries
}

/// A token that was taken back is nobody's, and is let in nowhere.
fn is_of_an_ended_token(entry: &Value) -> bool {
    entry["caller"].is_null() && entry["signed"] == true && entry["status"] == 401
}

/// Whoever asked the gate for the customer's bucket, or was to be impersonated, since the journal had so many entries.
async fn strangers(
    google: &Google, way: Way, column: Column, (customer, own): (&Customer, Option<&Customer>), begun: usize,
) -> Vec<String> {
    let reader = way.reader(customer);
    let asked = asked_for(google, customer).await.into_iter();
    let strange =
        asked.filter(|entry| entry["caller"] != reader && !(column == Column::Expired && is_of_an_ended_token(entry)));
    let mut strangers: Vec<String> = strange.map(|entry| entry.to_string()).collect();
    let granted = [Some(customer), own].into_iter().flatten().map(|granted| granted.account.as_str());
    let granted: Vec<&str> = granted.filter(|_| way != Way::Own).collect();
    let journal = google.journal().await;
    let paths = journal[begun..].iter().filter_map(|entry| entry["path"].as_str());
    let acted_for = paths.filter(|path| path.ends_with(":generateAccessToken"));
    strangers.extend(acted_for.filter(|path| !granted.iter().any(|account| path.contains(account))).map(str::to_owned));
    strangers
}
