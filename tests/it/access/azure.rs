//! Grants on Azure Blob Storage, before Azurite behind a gate that enforces tenants' grants and the ends of tokens.

use super::{Column, Found, LARGE};
use crate::azuresource::GATE;
use crate::azuresource::customer::Customer;
use crate::azuresource::gangway::{Act, Gangway};
use crate::azuresource::program::Program;

/// How our application proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Secret,
    Federated,
}

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

/// What is in the teams file for a customer's team.
fn of<'a>(team: &'a str, customer: &'a Customer) -> (&'a str, Option<&'a str>, &'static [&'static str]) {
    (team, Some(&customer.tenant), &[])
}

pub(super) async fn cell(way: Way, column: Column) -> Found {
    let customer = match column {
        Column::Wrong => Customer::stranger("teamone").await,
        Column::Right | Column::Missing | Column::Expired | Column::Withdrawn | Column::OtherTeam => {
            Customer::new().await
        }
    };
    let program = way.program(GATE);
    match column {
        Column::Missing => program.write("teams.toml", "[acme.http]\nallowed_hosts = [\"nowhere.invalid\"]\n"),
        _ => program.teams(&[of("acme", &customer)]),
    }
    let url = customer.url("a.txt");
    let mut first = "reads".to_owned();
    let outcome = match column {
        Column::Right | Column::Missing | Column::Wrong => fetched(&program, "acme", &url).await,
        Column::Expired => expired(way, &customer).await,
        Column::Withdrawn => {
            first = fetched(&program, "acme", &url).await;
            customer.consents(false).await;
            customer.revokes().await;
            fetched(&program, "acme", &url).await
        }
        Column::OtherTeam => {
            first = fetched(&program, "acme", &url).await;
            // The other tenant consented, has an account of its own, and would be let in: only whose account it is keeps it out.
            let own = Customer::stranger("teamtwo").await;
            own.consents(true).await;
            own.grants(&own.container).await;
            customer.lets_in(&own).await;
            program.teams(&[of("bolt", &own)]);
            let good = fetched(&program, "bolt", &own.url("a.txt")).await;
            let found = fetched(&program, "bolt", &url).await;
            if good == "reads" { found } else { format!("its own: {good}") }
        }
    };
    let askers = customer.askers().await.into_iter();
    let strangers = askers.filter(|who| *who != customer.tenant).collect();
    Found { outcome: if first == "reads" { outcome } else { format!("first: {first}") }, strangers }
}

async fn fetched(program: &Program, team: &str, url: &str) -> String {
    let copied = program.copy(team, url).await;
    check_nothing_leaked(program);
    match copied.code() {
        "stored" if Program::content(&copied) == b"the content" => "reads".to_owned(),
        code => code.to_owned(),
    }
}

/// The token ends in the middle of a body, at whose end it is told: it goes on with a new one.
async fn expired(way: Way, customer: &Customer) -> String {
    let content: Vec<u8> = (0..LARGE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    customer.put("large", &content).await;
    let tenant = customer.tenant.clone();
    let gangway = Gangway::open(move |_, number| {
        let tenant = tenant.clone();
        match number {
            0 => Act::CutAfter(LARGE / 2, Box::pin(async move { Customer::ends_tokens(&tenant).await })),
            _ => Act::Pass,
        }
    })
    .await;
    let program = way.program(&gangway.endpoint());
    program.teams(&[of("acme", customer)]);
    let copied = program.copy("acme", &customer.url("large")).await;
    check_nothing_leaked(&program);
    let tokens = customer.tokens().await;
    let statuses: Vec<u64> = customer.asked().await.into_iter().map(|(_, status)| status).collect();
    match copied.code() {
        "stored" if tokens != [200, 200] || !statuses.contains(&401) => format!("read with {tokens:?}, {statuses:?}"),
        "stored" if Program::content(&copied) == content => "reads".to_owned(),
        code => code.to_owned(),
    }
}

/// Nothing that was written holds a token, which begin so whatever is in them, nor what we prove who we are with.
fn check_nothing_leaked(program: &Program) {
    let files = program.files();
    let written: Vec<_> = files.iter().filter(|(path, _)| !path.ends_with("token")).collect();
    assert!(written.len() > 5, "nothing was looked at");
    let leaks = written.iter().filter(|(_, content)| content.contains("eyJ") || content.contains("claims.signature"));
    let leaks: Vec<_> = leaks.map(|(path, _)| path).collect();
    assert!(leaks.is_empty(), "a token stands in {leaks:?}");
}
