//! Fetchers and checks that are made when they are first needed: whoever reads nothing of a cloud need not have that cloud's environment,
//! nor wait for it at the start.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::integration::{Cloud, Finding, Verdict};
use crate::ports::fetcher::{FetchRequest, Fetched, Fetcher};
use crate::ports::integrations::{CheckAsked, IntegrationChecks};

/// Makes a fetcher, or says why it cannot be made.
type Make = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Fetcher>, String>> + Send + Sync>;

/// A fetcher, or how to make it.
pub struct LazyFetcher {
    make: Make,
    made: OnceCell<Arc<dyn Fetcher>>,
}

impl LazyFetcher {
    /// Calls `make` when something is opened first; again only if it failed.
    pub fn new<F>(make: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn Fetcher>, String>> + Send + 'static,
    {
        Self { make: Box::new(move || Box::pin(make())), made: OnceCell::new() }
    }
}

#[async_trait]
impl Fetcher for LazyFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let made = self.made.get_or_try_init(|| (self.make)()).await;
        made.map_err(|why| AttachmentFault::new(Code::Internal, why))?.open(request).await
    }

    async fn forget(&self, team: &TeamId) {
        if let Some(made) = self.made.get() {
            made.forget(team).await;
        }
    }
}

/// Makes checks of a cloud, or says why they cannot be made.
type MakeChecks = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn IntegrationChecks>, String>> + Send + Sync>;

/// Checks of a cloud, or how to make them.
pub struct LazyChecks {
    cloud: Cloud,
    make: MakeChecks,
    made: OnceCell<Arc<dyn IntegrationChecks>>,
}

impl LazyChecks {
    /// Calls `make` when something is checked first; again only if it failed.
    pub fn new<F>(cloud: Cloud, make: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn IntegrationChecks>, String>> + Send + 'static,
    {
        Self { cloud, make: Box::new(move || Box::pin(make())), made: OnceCell::new() }
    }
}

#[async_trait]
impl IntegrationChecks for LazyChecks {
    fn cloud(&self) -> Cloud {
        self.cloud
    }

    async fn check(&self, asked: &CheckAsked) -> Vec<Finding> {
        match self.made.get_or_try_init(|| (self.make)()).await {
            Ok(made) => made.check(asked).await,
            Err(why) => vec![Finding::new(self.cloud.first_check(), Verdict::Unproven, why)],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::adapters::fetch::text::TextFetcher;
    use crate::domain::access::Grant;
    use crate::domain::source::Source;
    use crate::domain::team::{KnownTeam, Team};
    use crate::ports::fetcher::Want;

    fn request() -> FetchRequest {
        let team = KnownTeam { id: TeamId::new("a").expect("a good id"), record: Team::default() };
        FetchRequest { team: Arc::new(team), source: Source::Text("x".into()), grant: Grant::None, want: Want::Body }
    }

    #[tokio::test]
    async fn it_is_made_once_and_not_before_it_is_needed() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let lazy = LazyFetcher::new(move || {
            let call = counted.fetch_add(1, SeqCst);
            async move { if call == 0 { Err("not yet".to_owned()) } else { Ok(Arc::new(TextFetcher) as Arc<dyn Fetcher>) } }
        });
        assert_eq!(calls.load(SeqCst), 0);
        let fault = lazy.open(request()).await.expect_err("the first call fails");
        assert_eq!((fault.code, fault.message.as_str()), (Code::Internal, "not yet"));
        for _ in 0..3 {
            lazy.open(request()).await.expect("a text is always there");
        }
        assert_eq!(calls.load(SeqCst), 2, "once more after the failure, and never again");
    }
}
