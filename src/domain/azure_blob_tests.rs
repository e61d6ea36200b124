use proptest::prelude::*;

use super::*;
use crate::domain::source::Place;
use crate::domain::team::AzureGrant;

const HOST: &str = "https://acmeblob.blob.core.windows.net";

fn suffixes() -> Vec<String> {
    ["blob.core.windows.net", "blob.core.chinacloudapi.cn", "z01.blob.storage.azure.net"].map(str::to_owned).into()
}

fn named(text: &str) -> Option<Result<AzureBlob, AttachmentFault>> {
    AzureBlob::named_by(&Url::parse(text).expect("a URL"), &suffixes())
}

#[track_caller]
fn check(text: &str, expected: (&str, &str, &str)) {
    let blob = named(text).unwrap_or_else(|| panic!("{text} is a blob's")).expect("a blob");
    assert_eq!((blob.account.as_str(), blob.container.as_str(), blob.blob.as_str()), expected, "{text}");
    // What it is called names it again.
    assert_eq!(named(&blob.url()).expect("a blob's").expect("a blob"), blob, "{}", blob.url());
}

#[test]
fn a_blobs_url_is_taken_apart() {
    for (path, container, blob) in [
        ("/raw/a.jpg", "raw", "a.jpg"),
        ("/raw/a/b//c.jpg", "raw", "a/b//c.jpg"),
        ("/raw/a%20b+c%2Bd.jpg", "raw", "a b+c+d.jpg"),
        ("/raw/%C3%A4/%2525", "raw", "ä/%25"),
        ("/raw/a%2Fb", "raw", "a/b"),
        ("/raw/a/", "raw", "a/"),
        ("/raw/x/../y", "raw", "y"),
        ("/raw/...", "raw", "..."),
        ("/raw/a?v=1&timeout=30#f", "raw", "a"),
        ("/a.jpg", "$root", "a.jpg"),
        ("/$root/a.jpg", "$root", "a.jpg"),
        ("/%24root/a.jpg", "$root", "a.jpg"),
        ("/$web/index.html", "$web", "index.html"),
        ("/r-4-w/a", "r-4-w", "a"),
    ] {
        check(&format!("{HOST}{path}"), ("acmeblob", container, blob));
    }
}

#[test]
fn each_configured_suffix_is_azures_and_so_is_every_spelling_of_its_host() {
    for host in [
        "acmeblob.blob.core.windows.net",
        "ACMEblob.Blob.Core.Windows.Net",
        "acmeblob.blob.core.windows.net.",
        "acmeblob.blob.core.windows.net:443",
        "acmeblob%2eblob.core.windows.net",
        "acmeblob.blob.core.chinacloudapi.cn",
        "acmeblob.z01.blob.storage.azure.net",
    ] {
        check(&format!("https://{host}/raw/a"), ("acmeblob", "raw", "a"));
    }
}

#[test]
fn look_alikes_and_signed_urls_stay_plain() {
    for text in [
        "http://acmeblob.blob.core.windows.net/raw/a",
        "https://acmeblob.blob.core.windows.net:8443/raw/a",
        "https://user@acmeblob.blob.core.windows.net/raw/a",
        "https://:pw@acmeblob.blob.core.windows.net/raw/a",
        "https://acmeblob.blob.core.windows.net@evil.com/raw/a",
        "https://evil.com/acmeblob.blob.core.windows.net/raw/a",
        "https://acmeblob.blob.core.windows.net.evil.com/raw/a",
        "https://acmeblob.blob.core.windows.net..evil.com/raw/a",
        "https://acmeblob.blob.core.windows.net../raw/a",
        "https://acmeblobxblob.core.windows.net/raw/a",
        "https://acmeblob.xblob.core.windows.net/raw/a",
        "https://a.b.blob.core.windows.net/raw/a",
        "https://blob.core.windows.net/raw/a",
        "https://.blob.core.windows.net/raw/a",
        "https://ab.blob.core.windows.net/raw/a",
        "https://acme-secondary.blob.core.windows.net/raw/a",
        "https://acme_blob.blob.core.windows.net/raw/a",
        "https://äcmeblob.blob.core.windows.net/raw/a",
        "https://acmeblob.dfs.core.windows.net/raw/a",
        "https://acmeblob.blob.core.usgovcloudapi.net/raw/a",
        "https://127.0.0.1/raw/a",
        "https://acmeblob.blob.core.windows.net/raw/a?sv=2022-11-02&sig=abc",
        "https://acmeblob.blob.core.windows.net/raw/a?SIG=abc",
        "https://acmeblob.blob.core.windows.net/raw/a?%73ig=abc",
        "https://acmeblob.blob.core.windows.net/?restype=container&comp=list&sig=abc",
    ] {
        assert!(named(text).is_none(), "{text}");
    }
    let long = format!("https://{}.blob.core.windows.net/raw/a", "a".repeat(25));
    assert!(named(&long).is_none());
}

#[test]
fn a_storage_accounts_url_that_is_no_blobs_is_refused_and_never_fetched_plainly() {
    let long = format!("/raw/{}", "a".repeat(1025));
    for path in [
        "",
        "/",
        "//a",
        "/raw/",
        "/Raw/a",
        "/ra/a",
        "/raw-/a",
        "/r--w/a",
        "/$other/a",
        "/raw%2Fa",
        "/$root/a/b",
        "/a%2Fb",
        "/raw/%FF",
        "/raw/%2",
        "/raw/a%00b",
        "/raw/a%0Ab",
        "/raw/a%2F..%2Fb",
        "/raw/a%2F.",
        "/raw?restype=container&comp=list",
        "/raw/a?comp=metadata",
        "/raw/a?Comp=list",
        "/raw/a?versionid=",
        "/raw/a?versionid=x%20y",
        "/raw/a?snapshot=1&snapshot=2",
        "/raw/a?snapshot=1&versionid=2",
        &long,
    ] {
        let found = named(&format!("{HOST}{path}")).unwrap_or_else(|| panic!("{path} is a storage account's"));
        assert_eq!(found.map_err(|fault| fault.code), Err(Code::BadUrl), "{path}");
    }
}

#[test]
fn a_state_that_is_named_is_part_of_the_name() {
    let at = "2024-05-01T10:20:30.1234567Z";
    for (query, state) in [
        (format!("versionid={at}"), BlobState::Version(at.into())),
        (format!("VersionId={}&x=y", at.replace(':', "%3A")), BlobState::Version(at.into())),
        (format!("snapshot={at}"), BlobState::Snapshot(at.into())),
    ] {
        let blob = named(&format!("{HOST}/raw/a?{query}")).unwrap().unwrap();
        assert_eq!(blob.state, Some(state.clone()), "{query}");
        let (name, value) = state.parameter();
        assert_eq!(blob.url(), format!("{HOST}/raw/a?{name}={}", value.replace(':', "%3A")));
        check(&format!("{HOST}/raw/a?{query}"), ("acmeblob", "raw", "a"));
    }
    let plain = named(&format!("{HOST}/raw/a%20b?x=y")).unwrap().unwrap();
    assert_eq!(plain.url(), format!("{HOST}/raw/a%20b"));
}

#[test]
fn only_teams_with_a_tenant_have_blobs() {
    let text = format!("{HOST}/raw/a");
    let linked = Team { azure: Some(AzureGrant::default()), ..Team::default() };
    let read_as = |team: &Team| recognized_for(team, Source::parse(&text).unwrap(), &suffixes()).unwrap();
    let blob = read_as(&linked);
    assert!(matches!(&blob, Source::AzureBlob(blob) if blob.host() == "acmeblob.blob.core.windows.net"), "{blob:?}");
    assert_eq!((blob.name(), blob.place()), (text.clone(), Place::Bucket("azure://acmeblob".into())));
    assert!(matches!(read_as(&Team::default()), Source::Http(_)), "unlinked, it is a plain URL again");
    let file = Source::parse("file:///raw/a").unwrap();
    assert_eq!(recognized_for(&linked, file.clone(), &suffixes()), Ok(file));
}

#[test]
fn a_suffix_is_long_enough_to_be_nobody_elses() {
    for (text, expected) in [
        ("blob.core.windows.net", true),
        ("blob.core.usgovcloudapi.net", true),
        ("z01.blob.storage.azure.net", true),
        ("blob.local.stack.example.com", true),
        ("core.windows.net", false),
        ("blob.com", false),
        ("com", false),
        ("", false),
        (".blob.core.windows.net", false),
        ("blob.core.windows.net.", false),
        ("Blob.core.windows.net", false),
        ("*.blob.core.windows.net", false),
        ("https://blob.core.windows.net", false),
    ] {
        assert_eq!(is_suffix(text), expected, "{text:?}");
    }
}

proptest! {
    #[test]
    fn whatever_a_blob_is_called_its_url_names_it_and_no_other(blob in "\\PC{1,40}", container in "[a-z0-9]{3,20}") {
        prop_assume!(check_blob(&container, &blob).is_ok());
        let (account, suffix) = ("acmeblob".to_owned(), "blob.core.windows.net".to_owned());
        let blob = AzureBlob { account, suffix, container, blob, state: None };
        prop_assert_eq!(named(&blob.url()), Some(Ok(blob)));
    }

    #[test]
    fn no_host_is_azures_but_an_account_before_a_suffix(text in "[a-z0-9.@:/?#%-]{0,30}") {
        let url = format!("https://acmeblob.blob.core.windows.net{text}");
        let Ok(url) = Url::parse(&url) else { return Ok(()) };
        if let Some(Ok(blob)) = AzureBlob::named_by(&url, &suffixes()) {
            prop_assert_eq!(url.host_str().unwrap().trim_end_matches('.'), blob.host());
            prop_assert!(is_account(&blob.account) && suffixes().contains(&blob.suffix));
        }
    }
}
