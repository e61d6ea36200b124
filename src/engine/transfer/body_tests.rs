use std::time::Duration;

use async_trait::async_trait;
use futures::stream;

use super::*;
use crate::domain::access::Grant;
use crate::domain::crc::Crc;
use crate::domain::id::{AttachmentId, TaskId, TeamId};
use crate::domain::plan::Profile;
use crate::domain::source::Source;
use crate::domain::task::{Attachment, Content};
use crate::domain::team::{KnownTeam, Team};
use crate::engine::retry::RetryPolicy;
use crate::ports::fetcher::FetchRequest;

/// Has nothing more to give.
struct Nothing;

#[async_trait]
impl Fetcher for Nothing {
    async fn open(&self, _: FetchRequest) -> Result<Fetched, AttachmentFault> {
        Err(AttachmentFault::new(Code::NotFound, "nothing is here"))
    }
}

const NEVER_AGAIN: RetryPolicy = RetryPolicy { tries: 1, base: Duration::ZERO, max: Duration::ZERO, budget_percent: 0 };

fn job() -> Job {
    let source = Source::Text("123456789".into());
    Job {
        team: Arc::new(KnownTeam { id: TeamId::new("acme").unwrap(), record: Team::default() }),
        task: TaskId::new("t").unwrap(),
        round: 1,
        attachment: Attachment {
            id: AttachmentId::new("0").unwrap(),
            content: Content::Text("123456789".into()),
            media_type: None,
            sha256: None,
        },
        source,
        grant: Grant::None,
        profile: Profile { name: "standard".into(), fingerprint: "standard@0".into() },
        look: false,
        progress: std::sync::Arc::default(),
    }
}

/// Reads `123456789`, which came with these sums.
async fn check(announced: Announced, fits: bool) {
    let pieces = ["1234", "56789"].map(|piece| Ok(Bytes::from(piece)));
    let fetched = Fetched {
        version: SourceVersion::default(),
        length: None,
        resumable: false,
        announced: announced.clone(),
        hops: Vec::new(),
        body: stream::iter(pieces).boxed(),
    };
    let mut body = Body::new(Arc::new(Nothing), &job(), Retries::new(NEVER_AGAIN), 100, fetched);
    assert!(body.fill(100).await.unwrap().ended);
    let found = body.verify().map_err(|fault| fault.code);
    assert_eq!(found.is_ok(), fits, "{announced:?}: {found:?}");
    assert!(fits || found == Err(Code::ChecksumMismatch));
}

fn crc(sum: Crc) -> Announced {
    Announced { crc: Some(sum), ..Announced::default() }
}

// The check values of the catalogue of CRC algorithms, and the digests that `sha256sum` and `md5sum` give.
#[tokio::test]
async fn what_a_source_announces_is_compared() {
    check(Announced::default(), true).await;
    check(crc(Crc::Crc64Nvme(0xae8b_1486_0a79_9888)), true).await;
    check(crc(Crc::Crc64Nvme(0xae8b_1486_0a79_9889)), false).await;
    check(crc(Crc::Crc32c(0xe306_9283)), true).await;
    check(crc(Crc::Crc32(0xcbf4_3927)), false).await;
    let sha256 = Some(Sha256::of(b"123456789"));
    let good = Announced { sha256, ..Announced::default() };
    check(good.clone(), true).await;
    let bad = Some(Sha256::of(b"123456780"));
    check(Announced { sha256: bad, ..good }, false).await;
}
