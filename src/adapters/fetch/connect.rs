//! Makes the connections that requests go over: whatever a URL says, this is the only place that dials.
//!
//! A literal address is checked here and a name's answers by [`CheckedNames`]; what is dialled, straight or through a proxy, is
//! an address that was checked and no name. Each connection knows which address it leads to ([`Peer`]), since behind a proxy
//! its socket does not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tower_service::Service;

use super::resolve::CheckedNames;
use super::way_out::{Stream, Through, literal};

/// Idle connections are asked whether they still are, as a dead peer does not say so.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES_MAX: u32 = 3;
/// What is sent and not acknowledged for so long is not sent on.
#[cfg(target_os = "linux")]
const UNHEARD_MAX: Duration = Duration::from_secs(30);

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections to checked addresses.
#[derive(Clone)]
pub(super) struct Connector {
    names: CheckedNames,
    road: Road,
}

#[derive(Clone)]
enum Road {
    Direct(HttpConnector<CheckedNames>),
    Through(Arc<Through>),
}

impl Connector {
    /// Connects straight, from `local` where it is given and then only to its family.
    pub(super) fn direct(names: CheckedNames, local: Option<IpAddr>, within: Duration) -> Self {
        let mut dialler = HttpConnector::new_with_resolver(names.clone());
        dialler.enforce_http(false);
        dialler.set_nodelay(true);
        dialler.set_keepalive(Some(KEEPALIVE));
        dialler.set_keepalive_interval(Some(KEEPALIVE));
        dialler.set_keepalive_retries(Some(KEEPALIVES_MAX));
        #[cfg(target_os = "linux")]
        dialler.set_tcp_user_timeout(Some(UNHEARD_MAX));
        dialler.set_connect_timeout(Some(within));
        dialler.set_local_address(local);
        Self { names, road: Road::Direct(dialler) }
    }

    /// Connects through a proxy.
    pub(super) fn through(names: CheckedNames, proxy: Through) -> Self {
        Self { names, road: Road::Through(Arc::new(proxy)) }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Wired>, BoxError> {
        let host = uri.host().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let literal = literal(host);
        if let Some(address) = literal {
            self.names.check_literal(address)?;
        }
        let wired = match self.road {
            Road::Direct(mut dialler) => {
                std::future::poll_fn(|cx| dialler.poll_ready(cx)).await?;
                let stream = dialler.call(uri).await?.into_inner();
                let peer = stream.peer_addr()?;
                Wired { stream: Box::new(stream), peer }
            }
            Road::Through(proxy) => {
                let addresses = match literal {
                    Some(address) => Arc::from([address]),
                    None => self.names.addresses(host).await?,
                };
                let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
                let (stream, peer) = proxy.connect(&addresses, uri.port_u16().unwrap_or(usual)).await?;
                Wired { stream, peer }
            }
        };
        Ok(TokioIo::new(wired))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wired>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// The address that a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer(pub(super) SocketAddr);

/// A connection and where it leads.
pub(super) struct Wired {
    stream: Box<dyn Stream>,
    peer: SocketAddr,
}

impl Connection for Wired {
    fn connected(&self) -> Connected {
        Connected::new().extra(Peer(self.peer))
    }
}

impl AsyncRead for Wired {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wired {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }
}

/// Bounds what connecting takes in all: resolving, dialling and the TLS handshake.
#[derive(Clone)]
pub(super) struct Within<S> {
    pub(super) inner: S,
    pub(super) time: Duration,
}

impl<S> Service<Uri> for Within<S>
where
    S: Service<Uri, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.time, self.inner.call(uri));
        Box::pin(
            async move { connecting.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) },
        )
    }
}
