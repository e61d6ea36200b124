//! Tasks whose sources are good, bad and refused, with secrets wherever a task can carry any.

use serde_json::json;

use super::clouds::Clouds;
use super::peers::Peers;
use crate::scenario::expect::{End, Sent, Wanted};
use crate::scenario::world::World;

/// What a customer's URL carries, and nothing that is written may.
pub(super) const IN_URLS: [&str; 4] =
    ["Signature0fAPresignedUrl", "Passw0rdOfAUrl", "TokenOfACallback", "QueryOfARefusedUrl"];

/// A task whose end nobody looks at here.
fn task(id: &str, team: &str, urls: &[String], callback: &str) -> Sent {
    let mut body = json!({"task_id": id, "team": team, "attachments": urls});
    if !callback.is_empty() {
        body["callback_url"] = json!(callback);
    }
    let wanted = Wanted { team: team.to_owned(), task: id.to_owned(), parts: Vec::new() };
    Sent::new(id, body.to_string(), End::Receipt(wanted))
}

/// Tasks with secrets in their URLs; `signed` are URLs that are good by their own signatures.
pub(super) fn plain_tasks(world: &World, peers: &Peers, signed: &[String]) -> Vec<Sent> {
    let [signature, password, token, query] = IN_URLS;
    let at = |target: &str| world.origin.url(target);
    let with_password = at("/blob/u?size=10").replace("http://", &format!("http://user:{password}@"));
    let hook = at(&format!("/sink/hook?token={token}"));
    let echo = |target: &str| peers.echo.url(&format!("{target}?X-Goog-Signature={signature}&token={token}"));
    let blob = peers.clouds.of_azure.url(&format!("a.txt?sv=2021-12-02&sig={signature}"));
    let dead = |id: &str, body: String| Sent::new(id, body, End::Dead { reason: "undecodable", detail: "" });
    vec![
        task("presigned", "hooked", &[at(&format!("/blob/a?size=100&X-Amz-Signature={signature}"))], &hook),
        task("refused", "hooked", &[with_password, at(&format!("/blob/b?status=404&sig={query}"))], &hook),
        task("no-scheme", "hooked", &[format!("ftp://user:{password}@host/x?token={query}")], ""),
        task("private", "hooked", &[at(&format!("/redirect?to=http%3A%2F%2F10.0.0.1%2F%3Ftoken%3D{query}"))], &hook),
        task("no-hook", "hooked", &[at("/blob/c?size=10")], &format!("mailto:{token}@example.com")),
        task("unwell", "scaled", &[at(&format!("/blob/d?status=503&token={query}"))], ""),
        // Nobody is connected to here.
        task("nobody", "hooked", &[format!("https://user:{password}@localhost:1/?token={query}")], &hook),
        task("signed", "hooked", signed, &hook),
        task("echoed", "hooked", &[echo("/x")], &echo("/hook")),
        task("own-signature", "azur", &[blob], ""),
        task("clumsy", "clumsy", &[at(&format!("/blob/e?token={query}"))], ""),
        task("astray", "astray", &[at(&format!("/blob/f?token={query}"))], ""),
        dead("cut", format!("{{\"task_id\":\"cut\",\"team\":\"hooked\",\"attachments\":[\"https://h/?sig={signature}")),
        dead("odd", json!({"task_id": {"token": token}, "team": "hooked", "attachments": password}).to_string()),
    ]
}

/// Tasks with sources in customers' buckets and containers.
pub(super) fn cloud_tasks(world: &World, clouds: &Clouds, round: usize) -> Vec<Sent> {
    let of = |cloud: &str| format!("{cloud}-{round}");
    let customers = world.customers.as_ref().unwrap();
    let in_bucket = |name: &str| format!("gs://{}/{name}", clouds.of_google.bucket);
    let on_aws = |team: &str| task(&of(team), team, &[customers.of(team).unwrap().url("a.txt")], "");
    vec![
        task(&of("goog"), "goog", &["a.txt", "none.txt"].map(in_bucket), ""),
        task(&of("azur"), "azur", &["a.txt", "none.txt"].map(|name| clouds.of_azure.url(name)), ""),
        on_aws("delta"),
        on_aws("golf"),
        on_aws("hotel"),
    ]
}
