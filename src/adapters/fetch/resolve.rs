//! Finds a host's addresses and hands on only those that the guard lets through.
//!
//! The client connects to the very addresses that were checked here, so that a name cannot answer one thing to the check and
//! another to the connection. One refused answer refuses the name. Checked answers are kept for a short while, look-ups of one
//! name are shared, and a slow name server holds up a bounded number of threads.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use moka::future::Cache;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::address_guard::{AddressGuard, Refused};

/// Names whose answers are kept at most.
const CACHED_NAMES_MAX: u64 = 4096;

/// Look-ups that run at the same time at most: each holds a thread until the name server answers.
const LOOKUPS_MAX: usize = 64;

/// Look-ups of names below one domain that run at the same time at most: a name server that never answers holds up its own
/// names, and not everybody's.
const LOOKUPS_OF_DOMAIN_MAX: usize = 8;

/// Above so many domains those that nobody asks for now are let go.
const DOMAINS_MAX: usize = 1024;

/// Addresses of one name that are tried at most.
const ADDRESSES_MAX: usize = 32;

/// Tells the addresses of a host.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// Returns every address that `host` has now. May be repeated and dropped.
    ///
    /// # Errors
    /// Whatever the name service says; the text is for the log only.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Debug, Clone)]
pub struct SystemNames {
    room: Arc<Semaphore>,
    domains: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Default for SystemNames {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(LOOKUPS_MAX)), domains: Arc::default() }
    }
}

impl SystemNames {
    /// The room for names of this host's domain, as long as somebody holds it.
    fn room_of(&self, host: &str) -> Arc<Semaphore> {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if domains.len() >= DOMAINS_MAX {
            domains.retain(|_, room| room.strong_count() > 0);
        }
        let kept = domains.entry(domain_of(host).to_owned()).or_default();
        kept.upgrade().unwrap_or_else(|| {
            let room = Arc::new(Semaphore::new(LOOKUPS_OF_DOMAIN_MAX));
            *kept = Arc::downgrade(&room);
            room
        })
    }
}

/// Second-level labels below which a country's registry sells names.
const REGISTRIES: [&str; 10] = ["co", "com", "net", "org", "ac", "edu", "gov", "or", "ne", "go"];

/// The end of a name that one owner is likely to have: two labels, or three where the last two are a registry's, as `co.uk`.
fn domain_of(host: &str) -> &str {
    let host = host.trim_end_matches('.');
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), Some(second)) = (dots.next(), dots.next()) else { return host };
    let is_registrys = host.len() - last == 3 && REGISTRIES.contains(&&host[second + 1..last]);
    let from = if is_registrys { dots.next().map_or(0, |third| third + 1) } else { second + 1 };
    &host[from..]
}

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let own = self.room_of(host).acquire_owned().await.map_err(io::Error::other)?;
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        // The permits go with the thread: a caller that gives up does not end the call to the name server.
        let look_up = move || {
            let _rooms = (own, room);
            let found = (host.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        };
        tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
    }
}

/// Why a name has no addresses for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The guard refuses the name or one of its addresses.
    #[error("the host is not publicly reachable")]
    Refused(#[from] Refused),
    /// The name service did not answer, or knows no address.
    #[error("the host's name was not resolved: {0}")]
    Unresolved(String),
}

/// Resolves names for the client, through the guard.
#[derive(Clone)]
pub struct CheckedNames {
    names: Arc<dyn Names>,
    guard: Arc<AddressGuard>,
    kept: Cache<String, Arc<[IpAddr]>>,
}

impl CheckedNames {
    /// Asks `names`, hands on what `guard` lets through, and remembers it for `keep`.
    #[must_use]
    pub fn new(names: Arc<dyn Names>, guard: Arc<AddressGuard>, keep: Duration) -> Self {
        let kept = Cache::builder().max_capacity(CACHED_NAMES_MAX).time_to_live(keep).build();
        Self { names, guard, kept }
    }

    /// Returns the checked addresses of `host`. May be repeated; dropped, it leaves the look-up to the others who wait for it.
    ///
    /// # Errors
    /// [`NameError`]; neither kind is remembered.
    pub async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, NameError> {
        let host = host.to_ascii_lowercase();
        let asked = self.ask(&host);
        self.kept.try_get_with(host.clone(), asked).await.map_err(|error| (*error).clone())
    }

    /// Checks an address that stands in a URL.
    ///
    /// # Errors
    /// [`NameError::Refused`].
    pub fn check_literal(&self, address: IpAddr) -> Result<(), NameError> {
        Ok(self.guard.check(address)?)
    }

    /// The names as they are, without the guard: for hosts that the operator named.
    #[must_use]
    pub fn unchecked(&self) -> Arc<dyn Names> {
        Arc::clone(&self.names)
    }

    async fn ask(&self, host: &str) -> Result<Arc<[IpAddr]>, NameError> {
        self.guard.check_name(host)?;
        let found = self.names.addresses(host).await;
        let mut found = found.map_err(|error| NameError::Unresolved(error.to_string()))?;
        if found.is_empty() {
            return Err(NameError::Unresolved("no address".to_owned()));
        }
        // A name that answers anything internal is not to be trusted with its other answers either.
        for address in &found {
            self.guard.check(*address)?;
        }
        found.truncate(ADDRESSES_MAX);
        Ok(found.into())
    }
}

impl Service<Name> for CheckedNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NameError;
    type Future = BoxFuture<'static, Result<Self::Response, NameError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            // Port 0 stands for the URL's port.
            let sockets: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Scripted {
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Names for Scripted {
        async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            match host {
                "good.test" => Ok(vec!["8.8.8.8".parse().unwrap()]),
                "mixed.test" => Ok(vec!["8.8.8.8".parse().unwrap(), "10.0.0.1".parse().unwrap()]),
                "empty.test" => Ok(vec![]),
                _ => Err(io::Error::other("no such name")),
            }
        }
    }

    #[test]
    fn names_of_one_owner_share_their_room() {
        for (host, domain) in [
            ("1.slow.evil.com", "evil.com"),
            ("2.evl.io.", "evl.io"),
            ("cdn.acme.co.uk", "acme.co.uk"),
            ("co.uk", "co.uk"),
            ("acme.co.uk", "acme.co.uk"),
            ("localhost", "localhost"),
            ("..", ""),
        ] {
            assert_eq!(domain_of(host), domain, "{host}");
        }
        let names = SystemNames::default();
        let held = names.room_of("1.evil.com");
        assert!(Arc::ptr_eq(&held, &names.room_of("2.evil.com")));
        assert!(!Arc::ptr_eq(&held, &names.room_of("2.good.com")));
    }

    fn names() -> (CheckedNames, Arc<Scripted>) {
        let scripted = Arc::new(Scripted::default());
        let guard = Arc::new(AddressGuard::new(vec![]));
        let checked = CheckedNames::new(scripted.clone(), guard, Duration::from_secs(30));
        (checked, scripted)
    }

    #[tokio::test]
    async fn checked_answers_are_kept_and_shared() {
        let (names, scripted) = names();
        let all = futures::future::join_all((0..20).map(|_| names.addresses("GOOD.test"))).await;
        assert!(all.iter().all(Result::is_ok));
        names.addresses("good.test").await.unwrap();
        assert_eq!(scripted.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn one_refused_answer_refuses_the_name_and_refusals_are_not_kept() {
        let (names, scripted) = names();
        for _ in 0..2 {
            let found = names.addresses("mixed.test").await;
            assert!(matches!(found, Err(NameError::Refused(_))), "{found:?}");
        }
        assert_eq!(scripted.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_unresolved() {
        let (names, _) = names();
        for host in ["empty.test", "other.test"] {
            let found = names.addresses(host).await;
            assert!(matches!(found, Err(NameError::Unresolved(_))), "{found:?}");
        }
    }

    #[tokio::test]
    async fn the_system_resolver_knows_this_machine() {
        let found = SystemNames::default().addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
