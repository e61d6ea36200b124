//! Grants on Azure Blob Storage, before Azurite behind a gate that enforces tenants' grants. A gangway before the gate writes
//! down whose token came with each request.

use super::{Column, Found};
use crate::azuresource::customer::Customer;
use crate::azuresource::gangway::{Act, Gangway, challenge};
use crate::azuresource::program::Program;

/// How our application proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Secret,
    Federated,
}

const BYTES: usize = 12 << 20;

impl Way {
    fn program(self, endpoint: &str) -> Program {
        match self {
            Self::Secret => Program::with("secret", endpoint),
            Self::Federated => {
                let program = Program::proving("federated_token_file = \"token\"", "", endpoint);
                program.write("token", "header.claims.signature\n");
                program
            }
        }
    }
}

/// A gangway that lets a body of `large` break off in its middle, after which its token has ended.
async fn gangway(tenant: String) -> Gangway {
    let broke_off = std::sync::atomic::AtomicBool::new(false);
    let ended = std::sync::atomic::AtomicBool::new(false);
    Gangway::open(move |seen, _| {
        use std::sync::atomic::Ordering::SeqCst;
        if !seen.asked.target.ends_with("/large") {
            Act::Pass
        } else if !broke_off.swap(true, SeqCst) {
            Act::Cut(BYTES / 2)
        } else if !ended.swap(true, SeqCst) {
            challenge(&tenant)
        } else {
            Act::Pass
        }
    })
    .await
}

fn with_tenant(customer: &Customer) -> Option<&str> {
    Some(&customer.tenant)
}

pub(super) async fn cell(way: Way, column: Column) -> Found {
    let customer = match column {
        Column::Wrong => Customer::stranger("teamone").await,
        Column::Right | Column::Missing | Column::Expired | Column::Withdrawn | Column::OtherTeam => {
            Customer::new().await
        }
    };
    let gangway = gangway(customer.tenant.clone()).await;
    let program = way.program(&gangway.endpoint());
    let tenant = if column == Column::Missing { None } else { with_tenant(&customer) };
    program.teams(&[("acme", tenant, &[])]);
    if column == Column::Missing {
        let plain = "[acme.http]\nallowed_hosts = [\"nowhere.invalid\"]\n";
        program.write("teams.toml", plain);
    }
    let url = customer.url("a.txt");
    let mut first = "reads".to_owned();
    let outcome = match column {
        Column::Right | Column::Missing | Column::Wrong => fetched(&program, "acme", &url).await,
        Column::Expired => expired(&program, &customer).await,
        Column::Withdrawn => {
            first = fetched(&program, "acme", &url).await;
            customer.consents(false).await;
            customer.revokes().await;
            fetched(&program, "acme", &url).await
        }
        Column::OtherTeam => {
            first = fetched(&program, "acme", &url).await;
            // The other tenant consented, and was let in: only whose account it is keeps its team out.
            let own = Customer::stranger("teamone").await;
            own.consents(true).await;
            own.grants(&customer.container).await;
            program.teams(&[("bolt", with_tenant(&own), &["teamone"])]);
            let found = fetched(&program, "bolt", &url).await;
            assert!(own.tokens().await.is_empty(), "a token was asked for what is another's");
            found
        }
    };
    let expected = Some(customer.tenant);
    let strangers = gangway.seen().into_iter().filter(|seen| seen.tenant != expected);
    Found {
        outcome: if first == "reads" { outcome } else { format!("first: {first}") },
        strangers: strangers.map(|seen| seen.tenant.unwrap_or_else(|| "nobody".to_owned())).collect(),
    }
}

async fn fetched(program: &Program, team: &str, url: &str) -> String {
    let copied = program.copy(team, url).await;
    match copied.code() {
        "stored" if Program::content(&copied) == b"the content" => "reads".to_owned(),
        code => code.to_owned(),
    }
}

async fn expired(program: &Program, customer: &Customer) -> String {
    let content: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    customer.put("large", &content).await;
    let copied = program.copy("acme", &customer.url("large")).await;
    let tokens = customer.tokens().await;
    match copied.code() {
        "stored" if tokens != [200, 200] => format!("read with the tokens {tokens:?}"),
        "stored" if Program::content(&copied) == content => "reads".to_owned(),
        code => code.to_owned(),
    }
}
