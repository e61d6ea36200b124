//! The check of the layers, checked: it refuses what it should, and nothing else.

use super::forbidden;

#[track_caller]
fn check_refused(file: &str, text: &str, because: &str) {
    let objections = forbidden(file, text);
    let hit = objections.iter().any(|sentence| sentence.contains(because));
    assert!(hit, "{file} with `{text}` must be refused because {because}; said: {objections:?}");
}

#[track_caller]
fn check_allowed(file: &str, text: &str) {
    let objections = forbidden(file, text);
    assert!(objections.is_empty(), "{file} with `{text}` is fine, but: {objections:?}");
}

#[test]
fn an_arrow_against_the_layers_is_refused() {
    for (file, text) in [
        ("domain/task.rs", "use crate::ports::Queue;"),
        ("domain/mod.rs", "pub use crate::shell::config::Config;"),
        ("ports/queue.rs", "use crate::engine::lease::Lease;"),
        ("ports/queue.rs", "use crate::adapters::memory::MemoryQueue;"),
        ("engine/pipeline.rs", "use crate::adapters::store::s3::S3Store;"),
        ("engine/pipeline.rs", "fn f() { crate::shell::telemetry::count(1) }"),
        ("engine/pipeline.rs", "#[cfg(test)] mod tests { use crate::testing::Simulation; }"),
        ("adapters/store/s3.rs", "use crate::engine::retry;"),
        ("adapters/webhook.rs", "use crate::shell::config;"),
        ("testing/contract.rs", "use crate::shell::wiring;"),
    ] {
        check_refused(file, text, "it may name only");
    }
}

#[test]
fn an_arrow_along_the_layers_is_allowed() {
    for (file, text) in [
        ("domain/task.rs", "use crate::domain::team::Team;"),
        ("ports/queue.rs", "use crate::{domain::task::Task, ports::clock::Clock};"),
        ("engine/pipeline.rs", "use crate::ports::store::Store; use super::lease::Lease;"),
        ("adapters/store/s3.rs", "use crate::ports::store::Store; use super::names; use super::super::causes;"),
        ("adapters/queue/amqp/mod.rs", "use crate::adapters::queue::headers; use crate::adapters::causes::causes;"),
        ("shell/wiring.rs", "use crate::{adapters::store::s3::S3Store, engine, domain, ports};"),
        ("testing/contract.rs", "use crate::{adapters::memory::MemoryStore, engine, ports};"),
        ("lib.rs", "pub mod domain; pub use crate::shell::run;"),
        ("engine/pipeline.rs", "macro_rules! m { () => { $crate::engine::lease::keep() } }"),
    ] {
        check_allowed(file, text);
    }
}

#[test]
fn grouped_nested_and_relative_paths_are_seen() {
    check_refused(
        "engine/a.rs",
        "use crate::{domain::task::Task, adapters::{memory, store::s3}};",
        "adapters::store::s3",
    );
    check_refused("engine/a.rs", "use crate::{\n    ports,\n    shell,\n};", "shell");
    check_refused("engine/a.rs", "use super::super::adapters::memory;", "adapters::memory");
    check_refused("engine/deep/a.rs", "use super::super::super::adapters::memory;", "adapters::memory");
    check_refused("engine/a.rs", "let store: Box<crate :: adapters :: store :: s3 :: S3> = x;", "adapters::store");
    check_refused("engine/a.rs", "use crate::adapters as a;", "adapters");
    check_refused("engine/a.rs", "mod tests { use super::super::super::shell; }", "shell");
    check_refused("engine/a.rs", "mod tests { fn f() {} } use super::super::shell;", "shell");
}

#[test]
fn an_inline_module_may_look_at_its_own_file() {
    check_allowed("engine/a.rs", "mod tests { use super::*; use super::super::lease::Lease; }");
    check_allowed("domain/a.rs", "mod tests { use super::Task; }");
}

#[test]
fn an_adapter_may_not_lean_on_another() {
    check_refused("adapters/store/s3.rs", "use crate::adapters::amqp::Client;", "another adapter");
    check_refused("adapters/webhook.rs", "use crate::adapters::fetch::http;", "another adapter");
    check_refused("adapters/store/s3.rs", "use super::super::local::Database;", "another adapter");
    check_refused("adapters/store/s3/mod.rs", "use crate::adapters::store::file::Folder;", "another adapter");
    check_refused("adapters/credentials/aws.rs", "use super::gcp;", "another adapter");
    check_allowed("adapters/store/mod.rs", "mod s3; pub use self::s3::S3Store;");
    check_allowed("adapters/store/s3/upload.rs", "use crate::adapters::store::{s3::Names, headers};");
    check_allowed("adapters/amqp/mod.rs", "use crate::domain::digest; use crate::ports::queue::Queue;");
    check_allowed("adapters/mod.rs", "pub use crate::adapters::amqp::AmqpQueue;");
}

#[test]
fn what_adapters_share_may_be_named_by_all() {
    check_allowed("adapters/amqp/mod.rs", "use crate::adapters::causes::causes;");
    check_allowed("adapters/memory/store.rs", "use crate::adapters::store::probe::{Probed, probe};");
    check_refused("adapters/memory/store.rs", "use crate::adapters::store::{probe, s3};", "another adapter");
}

#[test]
fn the_tests_beside_an_adapter_may_name_contracts_and_doubles() {
    let text =
        "use crate::testing::contracts::store::{self as contract, Fixture}; use crate::adapters::memory::Double;";
    check_allowed("adapters/store/file/tests.rs", text);
    check_allowed("adapters/store/file.rs", &format!("fn f() {{}} #[cfg(test)] mod tests {{ {text} }}"));
    check_refused("adapters/store/file.rs", text, "testing");
    check_refused("adapters/store/file.rs", &format!("mod tests {{ fn f() {{}} }} {text}"), "testing");
    check_refused("adapters/store/file/tests.rs", "use crate::engine::retry;", "engine");
    check_refused("engine/tests.rs", text, "testing");
}

#[test]
fn main_names_only_the_shell() {
    check_allowed("main.rs", "fn main() -> std::process::ExitCode { longshore::shell::main() }");
    check_refused("main.rs", "use longshore::engine::pipeline;", "only shell");
    check_refused("main.rs", "fn main() { longshore::adapters::store::open() }", "only shell");
}

#[test]
fn the_domain_waits_for_nothing_and_asks_nobody() {
    for text in [
        "use tokio::time::Duration;",
        "tracing::info!(\"hello\");",
        "use std::{collections::HashMap, fs};",
        "let x = std::env::var(\"HOME\");",
        "use std::net::{IpAddr, TcpStream};",
        "use reqwest::Url;",
        "use std::time::{Duration, Instant};",
        "let now = jiff::Timestamp::now();",
        "let now = Timestamp::now();",
    ] {
        check_refused("domain/task.rs", text, "domain names");
    }
    check_allowed(
        "domain/task.rs",
        "use std::net::IpAddr; use std::time::Duration; fn f(now: Timestamp) -> u8 { now.hour() }",
    );
    check_allowed("engine/lease.rs", "let now = tokio::time::Instant::now();");
}

#[test]
fn ports_and_engine_name_no_sdk() {
    check_refused("ports/store.rs", "use aws_sdk_s3::Client;", "our own types");
    check_refused("engine/transfer.rs", "fn f(e: reqwest::Error) {}", "through ports");
    check_allowed("adapters/store/s3.rs", "use aws_sdk_s3::Client;");
}

#[test]
fn comments_and_strings_do_not_count() {
    for text in [
        "//! See [`crate::adapters::store`].",
        "/// As [`crate::shell`] does.\nfn f() {}",
        "/* use crate::shell; /* nested */ use crate::shell; */ fn f() {}",
        "let text = \"use crate::shell; \\\" use crate::shell\";",
        "let text = r#\"use \"crate::shell\"\"#;",
        "let text = b\"crate::shell\"; let sign = '\"'; let other = '\\''; fn g<'a>(x: &'a str) {}",
    ] {
        check_allowed("engine/a.rs", text);
    }
    check_refused("engine/a.rs", "let sign = '\"'; use crate::shell; let end = '\"';", "shell");
    check_refused("engine/a.rs", "let text = r\"\\\"; use crate::shell;", "shell");
    check_refused("engine/a.rs", "fn g<'a>(x: &'a str) { crate::shell::go() }", "shell");
    check_refused("engine/a.rs", "let r#type = 1; use crate::shell;", "shell");
}
