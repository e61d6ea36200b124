//! Asks an HTTP proxy for a connection by `CONNECT` (RFC 9110, section 9.3.6).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Beyond, ProxyError, Stream};
use crate::adapters::fetch::user_info::UserInfo;

/// More head than this is no answer to a `CONNECT`.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Asks for a connection to `to`; afterwards `stream` is that connection.
///
/// # Errors
/// What the answer says. A proxy that ends without one may have been stopped just now: that is no word on the address.
pub(super) async fn ask(
    stream: &mut (impl Stream + ?Sized), to: SocketAddr, user_info: Option<&UserInfo>,
) -> Result<(), ProxyError> {
    let ended = |_| ProxyError::Refuses("the egress proxy ended the connection without an answer");
    stream.write_all(&request(to, user_info)).await.map_err(ended)?;
    stream.flush().await.map_err(ended)?;
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await.map_err(ended)? == 0 {
            return Err(ended(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let has_more = head.len() > end + 4;
            return verdict(status_of(&head), has_more);
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(ProxyError::Refuses("the egress proxy does not speak HTTP"));
        }
    }
}

fn request(to: SocketAddr, user_info: Option<&UserInfo>) -> Vec<u8> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(user_info) = user_info {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(user_info.basic().as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    let digits = line.strip_prefix(b"0 ").or_else(|| line.strip_prefix(b"1 "))?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Statuses of the 500s are what proxies answer when the address does not; those of the 400s are rules of their own.
fn verdict(status: Option<u16>, has_more: bool) -> Result<(), ProxyError> {
    match status {
        // Neither TLS nor HTTP has a server speak first: what came along was not sent by the other end.
        Some(200..=299) if has_more => Err(ProxyError::Refuses("the egress proxy speaks out of turn")),
        Some(200..=299) => Ok(()),
        Some(401 | 407) => Err(ProxyError::Away("the egress proxy does not take our credentials")),
        Some(504) => Err(ProxyError::Beyond(Beyond::TimedOut)),
        Some(500..=599) => Err(ProxyError::Beyond(Beyond::Refused)),
        Some(_) => Err(ProxyError::Refuses("the egress proxy refuses to connect to this address")),
        None => Err(ProxyError::Refuses("the egress proxy does not speak HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(answer: &str, expected: Result<(), ProxyError>) {
        const QUESTION: &str = "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n";
        let (mut ours, mut theirs) = tokio::io::duplex(32 * 1024);
        let asked = ask(&mut ours, "[2001:db8::1]:443".parse().unwrap(), None);
        let answering = async {
            let mut question = vec![0; QUESTION.len()];
            theirs.read_exact(&mut question).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            drop(theirs);
            String::from_utf8(question).unwrap()
        };
        let (found, question) = tokio::join!(asked, answering);
        assert_eq!(question, QUESTION);
        assert_eq!(found, expected, "{answer:?}");
    }

    #[tokio::test]
    async fn a_status_says_whose_move_it_is() {
        let refuses = |why| Err(ProxyError::Refuses(why));
        check("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", Ok(())).await;
        check("HTTP/1.0 204 \r\n\r\n", Ok(())).await;
        check("HTTP/1.0 200 OK\r\n\r\nSSH-2.0", refuses("the egress proxy speaks out of turn")).await;
        check("HTTP/1.1 407 X\r\n\r\nbody", Err(ProxyError::Away("the egress proxy does not take our credentials")))
            .await;
        check("HTTP/1.1 403 X\r\n\r\n", refuses("the egress proxy refuses to connect to this address")).await;
        check("HTTP/1.1 302 X\r\n\r\n", refuses("the egress proxy refuses to connect to this address")).await;
        check("HTTP/1.0 500 Unable to connect\r\n\r\n", Err(ProxyError::Beyond(Beyond::Refused))).await;
        check("HTTP/1.1 504 X\r\n\r\n", Err(ProxyError::Beyond(Beyond::TimedOut))).await;
        check("SSH-2.0-x\r\n\r\n", refuses("the egress proxy does not speak HTTP")).await;
        check("HTTP/1.1 2\r\n\r\n", refuses("the egress proxy does not speak HTTP")).await;
        check(&"x".repeat(20_000), refuses("the egress proxy does not speak HTTP")).await;
        check("HTTP/1.1 200 OK\r\n", refuses("the egress proxy ended the connection without an answer")).await;
    }
}
