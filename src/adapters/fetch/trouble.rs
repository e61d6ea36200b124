//! What a broken request or body means for an attachment.
//!
//! The client's own texts name whole URLs, so that none of them is handed on.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;

use super::resolve::NameError;
use super::way_out::{Beyond, ProxyError};
use crate::domain::fault::{AttachmentFault, Code};

/// The fault of a request that got no answer from `host`.
pub(super) fn of_request(error: &legacy::Error, host: &str) -> AttachmentFault {
    let (code, what) = causes(error).find_map(cause).unwrap_or_else(|| without_cause(error));
    let mut fault = AttachmentFault::new(code, format!("{host}: {what}"));
    let is_refusal = |error: &(dyn Error + 'static)| matches!(error.downcast_ref(), Some(ProxyError::Refuses(_)));
    // Our own refusal of an address says nothing of whether anybody is there, nor does a proxy's.
    fault.is_unreached = code.is_transient() && error.is_connect() && !causes(error).any(is_refusal);
    fault
}

/// The fault of a body that broke while it was read from `host`. Whatever broke it, a later try may bring the rest.
pub(super) fn of_body(host: &str) -> AttachmentFault {
    AttachmentFault::new(Code::Truncated, format!("{host}: the body broke off"))
}

fn without_cause(error: &legacy::Error) -> (Code, &'static str) {
    if error.is_connect() {
        (Code::Network, "no connection was made")
    } else {
        (Code::Unavailable, "the connection ended without an answer")
    }
}

/// The error and what lies beneath it. An I/O error names as its source only what lies beneath the error that it was made of,
/// so that it is asked for that one itself.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => (*error).source(),
    })
}

fn cause(error: &(dyn Error + 'static)) -> Option<(Code, &'static str)> {
    if let Some(name) = error.downcast_ref::<NameError>() {
        return Some(match name {
            NameError::Refused(_) => (Code::BlockedAddress, "the host is not publicly reachable"),
            NameError::Unresolved(_) => (Code::Network, "the host's name was not resolved"),
        });
    }
    if let Some(proxy) = error.downcast_ref::<ProxyError>() {
        return Some(of_proxy(*proxy));
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    error.downcast_ref::<io::Error>().and_then(of_io)
}

/// What is the proxy's own is our fault.
fn of_proxy(error: ProxyError) -> (Code, &'static str) {
    match error {
        ProxyError::Away(why) | ProxyError::Refuses(why) => (Code::Internal, why),
        ProxyError::Beyond(beyond) => match beyond {
            Beyond::NotReached => (Code::Network, beyond.words()),
            Beyond::Refused => (Code::Unavailable, beyond.words()),
            Beyond::TimedOut => (Code::Timeout, beyond.words()),
        },
    }
}

fn of_tls(error: &rustls::Error) -> (Code, &'static str) {
    match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType => (Code::TlsInvalid, "the server's certificate is not trusted"),
        // A foreign enum: whatever else it names is a handshake that may go well another time.
        _ => (Code::Network, "the TLS handshake went wrong"),
    }
}

fn of_io(error: &io::Error) -> Option<(Code, &'static str)> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some((Code::Unavailable, "the connection was refused")),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some((Code::Unavailable, "the connection was reset")),
        // Of a connection only: the address that the operator gave us is not this machine's, or has no port left.
        io::ErrorKind::AddrNotAvailable => Some((Code::Internal, "no connection can be made from our address")),
        io::ErrorKind::TimedOut => Some((Code::Timeout, "connecting took too long")),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            Some((Code::Network, "the host was not reached"))
        }
        // A foreign enum: other kinds say nothing that the error above them does not.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &(dyn Error + 'static), expected: Option<Code>) {
        assert_eq!(causes(error).find_map(cause).map(|(code, _)| code), expected);
    }

    #[test]
    fn causes_are_found_inside_of_io_errors() {
        let expired = rustls::CertificateError::Expired;
        let tls = io::Error::other(rustls::Error::InvalidCertificate(expired));
        check(&io::Error::other(tls), Some(Code::TlsInvalid));
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        check(&io::Error::other(alert), Some(Code::Network));
        check(&io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset)), Some(Code::Unavailable));
        check(&io::Error::other("anything else"), None);
    }
}
