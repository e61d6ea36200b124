//! The access matrix: every grant against everything that can be wrong with it, with the real program and peers that enforce
//! what they were told. Each cell has a customer of its own. What is refused would have been let in under our own identity or
//! without any, wherever the peer can be told so; the peers' own journals show that neither was tried.

mod aws;
mod azure;
mod google;
mod plain;

use std::fmt::Write;

use futures::{StreamExt, stream};

use self::Expected::{Never, Reads, Refused};

/// What is wrong with a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// Nothing.
    Right,
    /// The team's record has none.
    Missing,
    /// It is not what the customer set up.
    Wrong,
    /// What it gave ends while a body is on its way.
    Expired,
    /// The customer takes it back after a first read.
    Withdrawn,
    /// Another team, whose own grant is as good, asks for what this one has claimed.
    OtherTeam,
}

const COLUMNS: [Column; 6] =
    [Column::Right, Column::Missing, Column::Wrong, Column::Expired, Column::Withdrawn, Column::OtherTeam];

/// What a cell must come to.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The object is stored, with its bytes.
    Reads,
    /// The attachment fails with this code.
    Refused(&'static str),
    /// There is no such case, for this reason.
    Never(&'static str),
}

/// The size in bytes of what is large enough for a grant to end while it is read.
const LARGE: usize = 12 << 20;

/// What a cell came to.
struct Found {
    /// `reads`, or the code.
    outcome: String,
    /// Whoever else than the one granted asked a peer, by the peers' journals.
    strangers: Vec<String>,
}

/// How an integration grants access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    Aws(aws::Way),
    Google(google::Way),
    Azure(azure::Way),
    Plain,
}

const MISSING: Expected = Refused("integration_missing");
const BROKEN: Expected = Refused("integration_broken");
const CLAIMED: Expected = Refused("bucket_not_allowed");
const CLOSED: Expected = Refused("access_denied_or_missing");
/// It stays a plain URL, and plain URLs may name no such host here.
const PLAIN: Expected = Refused("blocked_address");
const NO_END: Expected = Never("the worker's own keys have no end here");
const NO_GRANT: Expected = Never("there is no grant to be so");

#[rustfmt::skip]
const TABLE: [(&str, Grant, [Expected; 6]); 11] = [
    // grant                                                           right  missing  wrong    expired   withdrawn  another team's
    ("S3: role with external id",     Grant::Aws(aws::Way::Role),         [Reads, MISSING, BROKEN, Reads,    BROKEN,    CLAIMED]),
    ("S3: account id, fixed role",    Grant::Aws(aws::Way::Account),      [Reads, MISSING, BROKEN, Reads,    BROKEN,    CLAIMED]),
    ("S3: role without external id",  Grant::Aws(aws::Way::Insecure),     [Reads, MISSING, BROKEN, Reads,    BROKEN,    CLAIMED]),
    ("S3: the worker's own identity", Grant::Aws(aws::Way::Own),          [Reads, MISSING, CLOSED, NO_END,   CLOSED,    CLAIMED]),
    ("S3: https URL, recognised",     Grant::Aws(aws::Way::Https),        [Reads, PLAIN,   BROKEN, Reads,    BROKEN,    CLAIMED]),
    ("GCS: impersonated account",     Grant::Google(google::Way::Role),   [Reads, MISSING, BROKEN, Reads,    BROKEN,    CLAIMED]),
    ("GCS: the worker's own account", Grant::Google(google::Way::Own),    [Reads, MISSING, CLOSED, Reads,    CLOSED,    CLAIMED]),
    ("GCS: https URL, recognised",    Grant::Google(google::Way::Https),  [Reads, PLAIN,   BROKEN, Reads,    BROKEN,    CLAIMED]),
    ("Azure: client secret",          Grant::Azure(azure::Way::Secret),   [Reads, PLAIN,   BROKEN, Reads,    BROKEN,    BROKEN]),
    ("Azure: federated token",        Grant::Azure(azure::Way::Federated),[Reads, PLAIN,   BROKEN, Reads,    BROKEN,    BROKEN]),
    ("plain URL",                     Grant::Plain,                       [Reads, NO_GRANT, NO_GRANT, NO_GRANT, NO_GRANT, Reads]),
];

/// The cells of one row, one after the other.
async fn row(grant: Grant, expected: &[Expected; 6]) -> Vec<Option<Found>> {
    let google = match grant {
        Grant::Google(_) => Some(crate::gcssource::google::Google::start().await),
        Grant::Aws(_) | Grant::Azure(_) | Grant::Plain => None,
    };
    let mut found = Vec::new();
    for (column, expected) in COLUMNS.into_iter().zip(expected) {
        found.push(match (expected, grant, &google) {
            (Never(_), ..) => None,
            (_, Grant::Aws(way), _) => Some(aws::cell(way, column).await),
            (_, Grant::Google(way), Some(google)) => Some(google::cell(google, way, column).await),
            (_, Grant::Azure(way), _) => Some(azure::cell(way, column).await),
            (_, Grant::Plain, _) => Some(plain::cell(column).await),
            (_, Grant::Google(_), None) => unreachable!("it was started above"),
        });
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grant_gives_what_it_should_and_nothing_takes_its_place() {
    let rows = TABLE.iter().map(|(name, grant, expected)| async move { (name, expected, row(*grant, expected).await) });
    // They mostly wait, for processes that look whether their queue is empty.
    let rows: Vec<_> = stream::iter(rows).buffered(TABLE.len()).collect().await;
    let (mut table, mut wrong, mut never) = (String::new(), String::new(), std::collections::BTreeSet::new());
    for (name, expected, found) in rows {
        write!(table, "{name:<32}").unwrap();
        for ((column, expected), found) in COLUMNS.into_iter().zip(expected).zip(found) {
            let outcome = found.as_ref().map_or("-", |found| found.outcome.as_str());
            write!(table, "{outcome:<26}").unwrap();
            let is_right = match expected {
                Never(why) => {
                    never.insert(*why);
                    true
                }
                Reads => outcome == "reads",
                Refused(code) => outcome == *code,
            };
            if !is_right {
                writeln!(wrong, "{name}, {column:?}: {outcome}, and not {expected:?}").unwrap();
            }
            for stranger in found.iter().flat_map(|found| &found.strangers) {
                writeln!(wrong, "{name}, {column:?}: {stranger} asked too").unwrap();
            }
        }
        table.push('\n');
    }
    println!("{table}-: {}", Vec::from_iter(never).join("; "));
    assert!(wrong.is_empty(), "{wrong}\n{table}");
}

/// Lets `reading` run, and does `ending` once a body is on its way.
async fn ended_in_the_middle<T>(
    reading: impl Future<Output = T>, is_reading: impl AsyncFn() -> bool, ending: impl Future<Output = ()>,
) -> T {
    let watching = async {
        while !is_reading().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        ending.await;
        std::future::pending().await
    };
    tokio::select! {
        read = reading => read,
        () = watching => unreachable!("it never ends"),
    }
}
