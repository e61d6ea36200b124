//! The layers, checked: who may name whom, and what the pure part may not name at all.
//!
//! [`forbidden`] reads one file's text as tokens: comments (and the links in them) and strings do not count, grouped
//! and relative imports do. It knows paths, not types, so a re-export under another name gets past it; reviews look
//! for those.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::paths::{Named, named_in};

mod checks;
mod paths;

/// What each layer may name of our own crate. `shell` and `lib.rs` may name all of it.
const MAY_NAME: [(&str, &[&str]); 5] = [
    ("domain", &["domain"]),
    ("ports", &["domain", "ports"]),
    ("engine", &["domain", "ports", "engine"]),
    ("adapters", &["domain", "ports", "adapters"]),
    ("testing", &["domain", "ports", "engine", "adapters", "testing"]),
];

/// What several adapters share, below `adapters/`; none of it knows an adapter itself.
const SHARED_BY_ADAPTERS: [&[&str]; 2] = [
    &["causes"],         // an error of a library in words
    &["store", "probe"], // the proof that a store honours conditions is the same for each store
];

/// What the tests beside an adapter may name too: the contract suites, and the doubles that keep them.
const FOR_TESTS_OF_ADAPTERS: [&[&str]; 2] = [&["testing"], &["adapters", "memory"]];

/// Folders below `adapters/` whose modules stand for one another, so that none may name another.
const ALTERNATIVES: [(&str, &[&str]); 3] =
    [("store", &["file", "s3"]), ("credentials", &["aws", "azure", "gcp"]), ("budget", &["local", "redis"])];

/// What a layer may not name of other crates, and why.
const FOREIGN: [(&str, &[&str], &str); 4] = [
    ("domain", &["tokio", "tokio_util", "futures", "async_trait"], "the domain decides at once and waits for nothing"),
    ("domain", &["tracing", "tracing_subscriber"], "the domain returns what is to be said and logs nothing"),
    ("ports", SDKS, "a port speaks in our own types"),
    ("engine", SDKS, "the engine reaches the world through ports"),
];

const SDKS: &[&str] = &[
    "aws_config",
    "aws_credential_types",
    "aws_sdk_s3",
    "aws_sdk_sqs",
    "aws_sdk_sts",
    "axum",
    "lapin",
    "reqwest",
    "rusqlite",
    "rustls",
];

/// Input, output and clocks of the standard library and of our crates: not in the domain.
const IMPURE: [&str; 16] = [
    "reqwest",
    "lapin",
    "rusqlite",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "rand::rng",
];

/// Returns what the text of `file` (its path below `src/`) names although its layer must not, one sentence each.
fn forbidden(file: &str, text: &str) -> BTreeSet<String> {
    let place = Place::of(file);
    named_in(text).iter().filter_map(|named| place.objection(named)).map(|why| format!("src/{file}: {why}")).collect()
}

/// Where a file stands: its module path, such as `["adapters", "store", "s3"]`.
struct Place {
    modules: Vec<String>,
}

impl Place {
    fn of(file: &str) -> Self {
        let stem = file.strip_suffix(".rs").expect("only Rust files are read");
        let mut modules: Vec<String> = stem.split('/').map(str::to_owned).collect();
        if modules.last().is_some_and(|last| last == "mod") {
            modules.pop();
        }
        Self { modules }
    }

    fn layer(&self) -> &str {
        &self.modules[0]
    }

    fn objection(&self, named: &Named) -> Option<String> {
        match self.within_our_crate(named) {
            Some(own) if self.is_for_its_test(named, &own) => None,
            Some(own) => self.objection_to_own(&own),
            None => self.objection_to_foreign(&named.path),
        }
    }

    /// Resolves a path into our own crate to the modules that it walks, from the crate's root.
    fn within_our_crate(&self, named: &Named) -> Option<Vec<String>> {
        let path = &named.path;
        match path[0].as_str() {
            "crate" | "longshore" => Some(path[1..].to_vec()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let kept = (self.modules.len() + named.inside.len()).saturating_sub(ups).min(self.modules.len());
                Some(self.modules[..kept].iter().chain(&path[ups..]).cloned().collect())
            }
            _ => None,
        }
    }

    fn is_for_its_test(&self, named: &Named, own: &[String]) -> bool {
        let in_a_test = self.modules.iter().chain(&named.inside).any(|module| module == "tests");
        in_a_test && self.layer() == "adapters" && FOR_TESTS_OF_ADAPTERS.iter().any(|free| starts_with(own, free))
    }

    fn objection_to_own(&self, own: &[String]) -> Option<String> {
        let named = own.first()?;
        if self.layer() == "main" {
            return (named != "shell").then(|| format!("main names {named}; it may name only shell"));
        }
        let (_, allowed) = MAY_NAME.iter().find(|(layer, _)| *layer == self.layer())?;
        if !is_layer(named) {
            return None;
        }
        if !allowed.contains(&named.as_str()) {
            return Some(format!("{} names {}; it may name only {}", self.layer(), own.join("::"), allowed.join(", ")));
        }
        self.objection_to_other_adapter(own)
    }

    /// Adapters are exchanged one by one, so none may lean on another: neither on another folder (`store` on `amqp`)
    /// nor, inside one, on what may stand there in its own place (`store::s3` on `store::file`).
    fn objection_to_other_adapter(&self, own: &[String]) -> Option<String> {
        let (mine, named) = (self.modules.get(1)?, own.get(1)?);
        let shared = SHARED_BY_ADAPTERS.iter().any(|help| starts_with(&own[1..], help));
        if self.layer() != "adapters" || own[0] != "adapters" || shared {
            return None;
        }
        let leans = mine != named || self.names_an_alternative(own);
        leans.then(|| format!("{} names another adapter's insides: {}", self.modules.join("::"), own.join("::")))
    }

    fn names_an_alternative(&self, own: &[String]) -> bool {
        let (Some(mine), Some(named)) = (self.modules.get(2), own.get(2)) else {
            return false;
        };
        let all = ALTERNATIVES.iter().find(|(folder, _)| *folder == self.modules[1]).map_or(&[][..], |(_, all)| *all);
        mine != named && all.contains(&mine.as_str()) && all.contains(&named.as_str())
    }

    fn objection_to_foreign(&self, path: &[String]) -> Option<String> {
        let joined = path.join("::");
        let starts = |with: &&str| joined == **with || joined.starts_with(&format!("{with}::"));
        for (layer, crates, why) in FOREIGN {
            if layer == self.layer() && crates.iter().any(starts) {
                return Some(format!("{layer} names {joined}: {why}"));
            }
        }
        let impure = IMPURE.iter().any(starts) || path.len() > 1 && path.last()? == "now";
        (self.layer() == "domain" && impure)
            .then(|| format!("domain names {joined}: it reads no clock and does no I/O"))
    }
}

fn starts_with(path: &[String], with: &[&str]) -> bool {
    path.len() >= with.len() && path.iter().zip(with).all(|(part, wanted)| part == wanted)
}

fn is_layer(name: &str) -> bool {
    ["domain", "ports", "engine", "adapters", "shell", "testing"].contains(&name)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_names_what_its_layer_must_not() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.contains(&source.join("main.rs")), "the walk found no source: {files:?}");
    let objections: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let below = path.strip_prefix(&source).unwrap().to_str().unwrap();
            forbidden(below, &fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(objections.is_empty(), "forbidden arrows:\n{}", objections.join("\n"));
}
