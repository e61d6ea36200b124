//! The byte stream under a connection: TCP or TLS, made and owned by us.
//!
//! It can be cut from outside, which ends a connection in whatever state it is: the client library would else wait for
//! ever on a server that accepts and says nothing. It also keeps the first bytes that came, since the server's version
//! stands in its greeting and the library does not hand that on. And what comes passes a guard ([`super::guard`]).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::address::Address;
use super::guard::Guard;

/// A stream of bytes to and from a broker.
trait Bytes: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Bytes for T {}

/// The server's greeting, as far as it has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Greeting(Arc<Mutex<Vec<u8>>>);

/// More than any broker's greeting: RabbitMQ's has about 500 bytes.
const GREETING_BYTES_MAX: usize = 4096;

impl Greeting {
    fn heard(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = GREETING_BYTES_MAX.saturating_sub(heard.len());
        heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Returns the server's main version: the field `version`, a long string, of its properties.
    pub(super) fn server_major(&self) -> Option<u32> {
        const FIELD: &[u8] = b"\x07versionS";
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = heard.windows(FIELD.len()).position(|bytes| bytes == FIELD)? + FIELD.len() + 4;
        let digits: Vec<u8> = heard.get(start..)?.iter().copied().take_while(u8::is_ascii_digit).collect();
        String::from_utf8(digits).ok()?.parse().ok()
    }
}

/// The stream itself.
pub(super) struct Wire {
    bytes: Compat<Box<dyn Bytes>>,
    greeting: Greeting,
    guard: Guard,
    cut: CancellationToken,
    cut_while_reading: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    /// Dials `address`. Whoever cancels `cut` ends the stream. It has no time limit of its own.
    pub(super) async fn dial(address: &Address, greeting: Greeting, cut: CancellationToken) -> io::Result<Self> {
        let plain = TcpStream::connect((address.host(), address.port())).await?;
        plain.set_nodelay(true)?;
        let bytes: Box<dyn Bytes> = match address.tls() {
            None => Box::new(plain),
            Some(config) => {
                let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
                Box::new(tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, plain).await?)
            }
        };
        let cut_while_reading = Box::pin(cut.clone().cancelled_owned());
        Ok(Self { bytes: bytes.compat(), greeting, guard: Guard::default(), cut, cut_while_reading })
    }

    fn ended() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, "ended by us")
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.cut_while_reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Self::ended()));
        }
        let read = Pin::new(&mut self.bytes).poll_read(cx, into);
        if let Poll::Ready(Ok(count)) = &read {
            self.greeting.heard(&into[..*count]);
            self.guard.pass(&mut into[..*count]);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.is_cancelled() {
            return Poll::Ready(Err(Self::ended()));
        }
        Pin::new(&mut self.bytes).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_greeting_however_it_comes() {
        let greeting = Greeting::default();
        assert_eq!(greeting.server_major(), None);
        greeting.heard(b"\x01\0\0..\x07productS\0\0\0\x08RabbitMQ\x07vers");
        assert_eq!(greeting.server_major(), None);
        greeting.heard(b"ionS\0\0\0\x0613.1.2");
        assert_eq!(greeting.server_major(), Some(13));
    }

    #[test]
    fn what_follows_the_greeting_is_not_kept() {
        let greeting = Greeting::default();
        greeting.heard(&[b'x'; 10_000]);
        greeting.heard(b"\x07versionS\0\0\0\x013");
        assert_eq!(greeting.0.lock().unwrap().len(), GREETING_BYTES_MAX);
        assert_eq!(greeting.server_major(), None);
    }
}
