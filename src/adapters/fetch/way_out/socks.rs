//! Asks a SOCKS5 proxy for a connection (RFC 1928; user and password by RFC 1929).

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Beyond, ProxyError, Stream};
use crate::adapters::fetch::user_info::UserInfo;

const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a connection to `to`; afterwards `stream` is that connection.
///
/// # Errors
/// What the answer says. A proxy that ends without one may have been stopped just now: that is no word on the address.
pub(super) async fn ask(
    stream: &mut (impl Stream + ?Sized), to: SocketAddr, user_info: Option<&UserInfo>,
) -> Result<(), ProxyError> {
    let ended = |_: io::Error| ProxyError::Refuses("the egress proxy ended the connection without an answer");
    let method = greet(stream, user_info.is_some()).await.map_err(ended)?;
    match (method, user_info) {
        ([VERSION, NO_CREDENTIALS], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(user_info)) => {
            if !is_known(stream, user_info).await.map_err(ended)? {
                return Err(ProxyError::Away("the egress proxy does not take our credentials"));
            }
        }
        ([VERSION, _], _) => return Err(ProxyError::Away("the egress proxy wants other credentials than it is given")),
        (_, _) => return Err(ProxyError::Away("the egress proxy does not speak SOCKS5")),
    }
    verdict(connect(stream, to).await.map_err(ended)?)
}

async fn greet(stream: &mut (impl Stream + ?Sized), has_credentials: bool) -> io::Result<[u8; 2]> {
    let greeting: &[u8] =
        if has_credentials { &[VERSION, 2, NO_CREDENTIALS, USER_AND_PASSWORD] } else { &[VERSION, 1, NO_CREDENTIALS] };
    stream.write_all(greeting).await?;
    stream.flush().await?;
    let mut method = [0; 2];
    stream.read_exact(&mut method).await?;
    Ok(method)
}

async fn is_known(stream: &mut (impl Stream + ?Sized), user_info: &UserInfo) -> io::Result<bool> {
    let mut message = vec![1];
    for text in [&user_info.user, &user_info.password] {
        message.push(u8::try_from(text.len()).map_err(io::Error::other)?);
        message.extend_from_slice(text);
    }
    stream.write_all(&message).await?;
    stream.flush().await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    Ok(answer[1] == 0)
}

/// Sends the request and returns its reply code, with all that belongs to the reply read.
async fn connect(stream: &mut (impl Stream + ?Sized), to: SocketAddr) -> io::Result<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match to.ip() {
        IpAddr::V4(address) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
    }
    request.extend_from_slice(&to.port().to_be_bytes());
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    let [_version, code, _reserved, kind] = reply;
    if code != 0 {
        return Ok(code);
    }
    let address_bytes = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let mut bound = vec![0; address_bytes + 2];
    stream.read_exact(&mut bound).await?;
    Ok(0)
}

fn verdict(code: u8) -> Result<(), ProxyError> {
    match code {
        0 => Ok(()),
        2 => Err(ProxyError::Refuses("the egress proxy refuses to connect to this address")),
        3 | 4 => Err(ProxyError::Beyond(Beyond::NotReached)),
        // 1 is "something went wrong": with an address that it never had before, most likely there.
        1 | 5 => Err(ProxyError::Beyond(Beyond::Refused)),
        6 => Err(ProxyError::Beyond(Beyond::TimedOut)),
        _ => Err(ProxyError::Refuses("the egress proxy does not know what it is asked for")),
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    /// Plays `theirs` as a script: what is expected, then what is said.
    async fn check(script: &[(&[u8], &[u8])], user_info: Option<&UserInfo>, expected: Result<(), ProxyError>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let asking = ask(&mut ours, "8.8.4.4:443".parse().unwrap(), user_info);
        let answering = async move {
            for (heard, said) in script {
                let mut found = vec![0; heard.len()];
                theirs.read_exact(&mut found).await.unwrap();
                assert_eq!(&found, heard);
                theirs.write_all(said).await.unwrap();
            }
        };
        let (found, ()) = tokio::join!(asking, answering);
        assert_eq!(found, expected);
    }

    const ASKED: &[u8] = &[5, 1, 0, 1, 8, 8, 4, 4, 1, 187];

    #[tokio::test]
    async fn an_address_is_asked_for_and_the_reply_is_read_to_its_end() {
        for reply in [
            &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            &[5, 0, 0, 3, 2, b'h', b'i', 0, 80],
            &[5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            check(&[(&[5, 1, 0], &[5, 0]), (ASKED, reply)], None, Ok(())).await;
        }
    }

    #[tokio::test]
    async fn replies_say_whose_move_it_is() {
        for (code, expected) in [
            (1, ProxyError::Beyond(Beyond::Refused)),
            (2, ProxyError::Refuses("the egress proxy refuses to connect to this address")),
            (4, ProxyError::Beyond(Beyond::NotReached)),
            (5, ProxyError::Beyond(Beyond::Refused)),
            (6, ProxyError::Beyond(Beyond::TimedOut)),
            (8, ProxyError::Refuses("the egress proxy does not know what it is asked for")),
        ] {
            check(&[(&[5, 1, 0], &[5, 0]), (ASKED, &[5, code, 0, 1])], None, Err(expected)).await;
        }
        check(&[(&[5, 1, 0], b"HT")], None, Err(ProxyError::Away("the egress proxy does not speak SOCKS5"))).await;
        check(
            &[(&[5, 1, 0], &[5])],
            None,
            Err(ProxyError::Refuses("the egress proxy ended the connection without an answer")),
        )
        .await;
    }

    #[tokio::test]
    async fn credentials_are_given_where_they_are_asked_for() {
        let user_info = UserInfo::of(&Url::parse("socks5://me:hush@h").unwrap()).unwrap();
        let said: &[u8] = b"\x01\x02me\x04hush";
        let good: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let greeting: &[u8] = &[5, 2, 0, 2];
        check(&[(greeting, &[5, 2]), (said, &[1, 0]), (ASKED, good)], Some(&user_info), Ok(())).await;
        check(&[(greeting, &[5, 0]), (ASKED, good)], Some(&user_info), Ok(())).await;
        let refused = Err(ProxyError::Away("the egress proxy does not take our credentials"));
        check(&[(greeting, &[5, 2]), (said, &[1, 1])], Some(&user_info), refused).await;
        let others = Err(ProxyError::Away("the egress proxy wants other credentials than it is given"));
        check(&[(&[5, 1, 0], &[5, 0xff])], None, others).await;
    }
}
