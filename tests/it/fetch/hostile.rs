//! URLs that mean harm. What counts is not what the guard says but what the listener saw: nothing.

use std::process::Command;
use std::sync::{Arc, Mutex};

use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::http::HttpFetcher;
use longshore::domain::fault::Code;
use tokio::net::TcpListener;

use super::server::{Server, answer, redirect};
use super::{Script, fetcher, fetcher_with, options, read};

/// Hosts that are this machine, another internal one, or nobody's, in spellings that were seen somewhere.
const HOSTS: &[&str] = &[
    // Loopback in IPv4: short, octal, hexadecimal, decimal, mixed, padded, with a dot behind.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.1.",
    "127.255.255.254",
    "0x7f.1",
    "0x7F.0.0.1",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0x7f.0.1",
    "0177.0.0.1",
    "0177.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "017700000001",
    "2130706433",
    "2130706433.",
    "0x7f.00.1",
    "127.0x0.0.1",
    "0",
    "0.0.0.0",
    "0x0",
    "0.0",
    "00",
    // The same in letters that only look like digits, and percent-encoded.
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "①②⑦.⓪.⓪.①",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "%30%78%37%66.1",
    "１%32７.0.0.1",
    // IPv6, and IPv4 inside of it.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::FFFF:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:808:808::80ff:fffe]",
    "[fe80::5efe:127.0.0.1]",
    "[2a00::5efe:127.0.0.1]",
    "[2a00::200:5efe:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[2001:2::1]",
    "[::1%25lo]",
    // Metadata services and host agents, by number and by name.
    "169.254.169.254",
    "169.254.169.254.",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "metadata.google.internal",
    "METADATA.GOOGLE.INTERNAL.",
    "metadata",
    "instance-data",
    "metadata.goog",
    // Other internal and special addresses.
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "192.0.0.1",
];

/// Names that answer something internal, alone or among public addresses.
const NAMES: &[&str] = &[
    "loop.test",
    "LOOP.test",
    "loop.test.",
    "l%6fop.test",
    "ｌｏｏｐ.test",
    "localhost",
    "localhost.",
    "sub.localhost",
    "v6loop.test",
    "zero.test",
    "mapped.test",
    "compatible.test",
    "nat64.test",
    "sixtofour.test",
    "private.test",
    "meta.test",
    "azure.test",
    "mixed.test",
    "mixed-late.test",
    "mixed-v6.test",
];

/// Addresses that every spelling is made of: loopback, private, metadata services and the clouds' host agents.
const INTERNAL: [[u8; 4]; 8] = [
    [127, 0, 0, 1],
    [127, 8, 9, 10],
    [10, 1, 2, 3],
    [192, 168, 255, 254],
    [169, 254, 169, 254],
    [168, 63, 129, 16],
    [100, 100, 100, 200],
    [192, 0, 0, 192],
];

/// The ways in which URL parsers, resolvers and IPv6 write one IPv4 address.
fn spellings([a, b, c, d]: [u8; 4]) -> Vec<String> {
    let whole = u32::from_be_bytes([a, b, c, d]);
    let (low24, low16) = (whole & 0x00ff_ffff, whole & 0xffff);
    let (high, low) = (whole >> 16, whole & 0xffff);
    let mut found = vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{a}.{b}.{low16}"),
        format!("{a}.{low24}"),
        format!("{whole}"),
        format!("{whole}."),
        format!("{whole:#x}"),
        format!("0X{whole:X}"),
        format!("0x00000000{whole:x}"),
        format!("0{whole:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("00000{a:o}.0{b:o}.0{c:o}.{d}"),
        format!("{a:#x}.{low24}"),
        format!("0{a:o}.{b:#x}.{low16}"),
        format!("{a}。{b}．{c}｡{d}"),
        format!("{a}.{b}.{c}.{d}").replace('1', "%31"),
    ];
    found.extend([
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[0:0:0:0:0:FFFF:{high:x}:{low:04X}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[::ffff:0:{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b:1:7f00::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:{high:x}:{low:x}::1]"),
        format!("[2001:0:808:808::{:x}:{:x}]", high ^ 0xffff, low ^ 0xffff),
        format!("[fe80::5efe:{a}.{b}.{c}.{d}]"),
        format!("[2a00:1450::5efe:{a}.{b}.{c}.{d}]"),
        format!("[2a00:1450:0:1:200:5efe:{high:x}:{low:x}]"),
    ]);
    found
}

/// Hosts that mean harm by themselves, whatever a name server says.
pub(crate) fn literal_hosts() -> Vec<String> {
    let fixed = HOSTS.iter().map(|host| (*host).to_owned());
    let mut hosts: Vec<String> = fixed.chain(INTERNAL.into_iter().flat_map(spellings)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// What those names answer. 127.0.0.2 is the only address that the fetcher under test may reach, and stands for the public.
pub(crate) fn names() -> Arc<Script> {
    Script::new(&[
        ("open.test", &[&["127.0.0.2"]]),
        ("loop.test", &[&["127.0.0.1"]]),
        ("localhost", &[&["127.0.0.1", "::1"]]),
        ("sub.localhost", &[&["127.0.0.1"]]),
        ("v6loop.test", &[&["::1"]]),
        ("zero.test", &[&["0.0.0.0"]]),
        ("mapped.test", &[&["::ffff:127.0.0.1"]]),
        ("compatible.test", &[&["::127.0.0.1"]]),
        ("nat64.test", &[&["64:ff9b::127.0.0.1"]]),
        ("sixtofour.test", &[&["2002:7f00:1::1"]]),
        ("private.test", &[&["10.0.0.1"]]),
        ("meta.test", &[&["169.254.169.254"]]),
        ("azure.test", &[&["168.63.129.16"]]),
        ("mixed.test", &[&["127.0.0.1", "127.0.0.2"]]),
        ("mixed-late.test", &[&["127.0.0.2", "127.0.0.2", "127.0.0.1"]]),
        ("mixed-v6.test", &[&["127.0.0.2", "::1"]]),
        ("rebind.test", &[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2"]]),
    ])
}

pub(crate) fn guarded() -> HttpOptions {
    HttpOptions { allow_networks: vec!["127.0.0.2/32".parse().unwrap()], ..options() }
}

/// What nobody may reach: a server on loopback, on IPv6 too where the machine has it.
pub(crate) struct Secret {
    pub(crate) port: u16,
    v4: Server,
    v6: Option<Server>,
}

impl Secret {
    pub(crate) async fn start() -> Self {
        let v4 = Server::saying(answer(200, "", b"secret")).await;
        let port = v4.address.port();
        let free = TcpListener::bind(("::1", port)).await.is_ok();
        let v6 = match free {
            true => Some(Server::start_on(&format!("[::1]:{port}"), |_| answer(200, "", b"secret")).await),
            false => None,
        };
        Self { port, v4, v6 }
    }

    pub(crate) fn reached(&self) -> usize {
        self.v4.connections() + self.v6.as_ref().map_or(0, Server::connections)
    }
}

/// Asks for `url`, which must be refused as such or be `otherwise`.
pub(crate) async fn check(fetcher: &HttpFetcher, url: &str, otherwise: Code) {
    let found = read(fetcher, url).await;
    assert!(found == Err(Code::BlockedAddress) || found == Err(otherwise), "{url}: {found:?}");
}

/// Every host with the ways to write it into a URL.
pub(crate) fn urls(port: u16) -> Vec<String> {
    let names = NAMES.iter().map(|name| (*name).to_owned());
    urls_of(literal_hosts().into_iter().chain(names), port)
}

/// The same for hosts that need no name server.
pub(crate) fn literal_urls(port: u16) -> Vec<String> {
    urls_of(literal_hosts().into_iter(), port)
}

fn urls_of(hosts: impl Iterator<Item = String>, port: u16) -> Vec<String> {
    let both = hosts.flat_map(|host| [format!("http://{host}:{port}/"), format!("https://{host}:{port}/")]);
    let tricks = [
        format!("http://open.test@127.0.0.1:{port}/"),
        format!("http://open.test:80@127.0.0.1:{port}/"),
        format!("http://open.test%2f@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}\\@open.test/"),
        format!("http:\\\\127.0.0.1:{port}/"),
        format!("http:/127.0.0.1:{port}/"),
        format!("http:127.0.0.1:{port}/"),
        format!("http:///127.0.0.1:{port}/"),
        format!("HTTP://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}#@open.test/"),
        format!("http://127.0.0.1:{port}?@open.test/"),
        format!("http://a@b@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:0{port}/"),
        format!("http://[::1]:{port}@127.0.0.1:{port}/"),
        format!("http://127.0.0.1%00.open.test:{port}/"),
        format!("http://127.0.0.1%0d%0a:{port}/"),
        format!("http://127.0.0.1 .open.test:{port}/"),
        format!("ht\ttp://127.0.0.\n1:{port}/"),
        "http://127.0.0.1/".to_owned(),
        "http://127.0.0.1:22/".to_owned(),
        "http://127.0.0.1:0/".to_owned(),
        "http://127.0.0.1:65535/".to_owned(),
        "https://[::1]/".to_owned(),
    ];
    both.chain(tricks).collect()
}

#[tokio::test]
async fn the_listener_counts_what_an_open_door_lets_through() {
    let secret = Secret::start().await;
    let found = read(&fetcher(options()), &format!("http://127.1:{}/", secret.port)).await;
    assert_eq!((found.as_deref(), secret.reached()), (Ok(&b"secret"[..]), 1));
}

#[tokio::test]
async fn no_hostile_url_reaches_the_listener() {
    let secret = Secret::start().await;
    let fetcher = fetcher_with(guarded(), names(), Arc::default());
    let urls = urls(secret.port);
    assert!(urls.len() >= 300, "{}", urls.len());
    for url in urls {
        // Some of the spellings are no URL at all.
        check(&fetcher, &url, Code::BadUrl).await;
    }
    assert_eq!(secret.reached(), 0);
}

/// Whether a redirect to it leads, from an http URL, to another page of the same server.
pub(crate) fn is_relative(url: &str) -> bool {
    url.starts_with("http:127") || url.starts_with("http:/1")
}

#[tokio::test]
async fn no_redirect_reaches_the_listener() {
    let secret = Secret::start().await;
    let location = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&location);
    let open = Server::start_on("127.0.0.2:0", move |_| redirect(307, &told.lock().unwrap())).await;
    let fetcher = fetcher_with(guarded(), names(), Arc::default());
    let own = format!("http://open.test:{}/", open.address.port());
    let mut asked = 0;
    for url in urls(secret.port) {
        if is_relative(&url) {
            continue;
        }
        // What no field can hold, a URL may not need.
        *location.lock().unwrap() = url.replace(['\t', '\n'], "");
        // A redirect to what is no URL leads nowhere.
        check(&fetcher, &own, Code::HttpStatus).await;
        asked += 1;
    }
    *location.lock().unwrap() = format!("//127.0.0.1:{}/", secret.port);
    check(&fetcher, &own, Code::BlockedAddress).await;
    assert_eq!(open.seen().len(), asked + 1);
    assert_eq!(secret.reached(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_checked_at_each_connection() {
    let secret = Secret::start().await;
    let open = Server::start_on(&format!("127.0.0.2:{}", secret.port), |_| answer(200, "", b"open")).await;
    let names = names();
    let fetcher = fetcher_with(guarded(), Arc::clone(&names), Arc::default());
    let url = format!("http://rebind.test:{}/", secret.port);
    assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
    assert_eq!(read(&fetcher, &url).await, Err(Code::BlockedAddress));
    assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
    // One look-up for each connection: what was checked is what was dialled.
    assert_eq!(names.asked.lock().unwrap().len(), 3);
    assert_eq!((open.connections(), secret.reached()), (2, 0));
}

#[tokio::test]
async fn a_checked_answer_is_kept_for_a_while() {
    let secret = Secret::start().await;
    let open = Server::start_on(&format!("127.0.0.2:{}", secret.port), |_| answer(200, "", b"open")).await;
    let keeping = HttpOptions { keep_names: HttpOptions::default().keep_names, ..guarded() };
    let fetcher = fetcher_with(keeping, names(), Arc::default());
    for _ in 0..3 {
        let url = format!("http://rebind.test:{}/", secret.port);
        assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
    }
    assert_eq!((open.connections(), secret.reached()), (3, 0));
}

#[tokio::test]
async fn a_loop_of_redirects_ends() {
    let open = Server::start_on("127.0.0.2:0", |_| redirect(302, "/")).await;
    let fetcher = fetcher_with(guarded(), names(), Arc::default());
    let url = format!("http://open.test:{}/", open.address.port());
    assert_eq!(read(&fetcher, &url).await, Err(Code::TooManyRedirects));
    assert_eq!(open.seen().len(), 6);
}

/// Runs itself once more with proxies in the environment, for a process may not safely change its own.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the child is told its part by the environment")]
async fn proxies_of_the_environment_are_ignored() {
    const CHILD: &str = "LONGSHORE_TEST_BEHIND_PROXIES";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::saying(answer(200, "", b"direct")).await;
        assert_eq!(read(&fetcher(options()), &server.url("/")).await.unwrap(), b"direct");
        return;
    }
    let proxy = Server::saying(answer(200, "", b"by proxy")).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "fetch::hostile::proxies_of_the_environment_are_ignored"]).env(CHILD, "1");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url(""));
    }
    let status = tokio::task::spawn_blocking(move || child.output().unwrap().status).await.unwrap();
    assert!(status.success());
    assert_eq!(proxy.connections(), 0);
}
