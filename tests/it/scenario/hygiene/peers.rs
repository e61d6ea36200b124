//! A deployment with everything that has a secret, and all whom it speaks to.

use serde_json::{Value, json};

use super::clouds::Clouds;
use crate::bed;
use crate::directory::desk::{Desk, TOKEN};
use crate::fetch::server::{Asked, Server, answer};
use crate::fetch::tls::TlsServer;
use crate::s3source::cloud::allow;
use crate::scenario::customers::{Customers, Door, OUR_ACCOUNT};
use crate::scenario::judge::Judge;
use crate::scenario::proxy::{Kind, Proxy};
use crate::scenario::world::{Setup, World};

/// The secrets that sign webhooks, in the form in which a team's record has them; the last ones are refused.
pub(super) const OF_HOOKS: [&str; 5] = [
    "whsec_c2VjcmV0IG9mIGh5Z2llbmUsIDI0IGJ5dGVz",
    "whsec_cHJldmlvdXMgb2YgaHlnaWVuZSwgMjQgYg==",
    "AuthKeyOfTheScaleFormat",
    "SecretThatIsNotWellFormed",
    "SecretWhereATableStands",
];
/// The key to the teams directory that stands in its URL.
pub(super) const OF_DIRECTORY: &str = "QueryKeyOfTheDirectory";
/// The worker's own key on AWS.
pub(super) const OUR_KEY: [&str; 2] = ["AKIAHYGIENEHYGIENE00", "SecretAccessKeyOfOurWorker/+="];

/// All that is beside the program in a run.
pub(super) struct Peers {
    judge: Judge,
    pub(super) clouds: Clouds,
    pub(super) desk: Desk,
    front: TlsServer,
    pub(super) proxy: Proxy,
    /// Says back whatever it hears, as it refuses it.
    pub(super) echo: Server,
}

impl Peers {
    pub(super) async fn start() -> Self {
        let (judge, clouds, desk) = (Judge::start().await, Clouds::start().await, Desk::open().await);
        let (front, _) = desk.behind_tls().await;
        let heard = |asked: &Asked| format!("you said {} with {:?}", asked.target, asked.fields);
        let echo = Server::start(move |asked| answer(403, "", heard(asked).as_bytes())).await;
        Self { judge, clouds, desk, front, proxy: Proxy::start(Kind::Http).await, echo }
    }

    /// A deployment that needs all of them.
    pub(super) async fn world(&self) -> World {
        let mut world = World::new(Setup::LocalFile).await;
        let customers = [("delta", Door::Role), ("golf", Door::Policy), ("hotel", Door::WrongId)];
        world.let_in(Customers::before(&self.judge, &customers).await);
        self.judge.control("POST", "apply", &our_key()).await;
        let [id, secret] = OUR_KEY;
        world.set_variable("AWS_ACCESS_KEY_ID", id);
        world.set_variable("AWS_SECRET_ACCESS_KEY", secret);
        self.clouds.are_found_by(&mut world);
        world.trust(&bed::ca_pem_path());
        let directory = format!("https://127.0.0.1:{}", self.front.port);
        world.set("TEAMS__SOURCE", &format!("{directory}/teams/{{team}}?key={OF_DIRECTORY}"));
        world.set("TEAMS__BUCKET_URL", &format!("{directory}/buckets?of={{bucket}}&key={OF_DIRECTORY}"));
        world.set("TEAMS__TOKEN", TOKEN);
        world.set("SOURCES__HTTP__EGRESS_PROXY", &self.proxy.url());
        world.set("WEBHOOKS__ALLOW_NETWORKS", "['127.0.0.0/8']");
        world.set("TELEMETRY__LOG", "trace");
        world.set("QUEUE__MAX_ATTEMPTS", "2");
        world.set("RETRY__TRIES", "2");
        world.hurry();
        self.employ(&world);
        world
    }

    /// Gives the directory its teams.
    fn employ(&self, world: &World) {
        let [secret, previous, auth_key, malformed, misplaced] = OF_HOOKS;
        let hook = world.origin.url("/sink/own");
        let hooked = format!(
            "[hooked.callback]\nurl = \"{hook}\"\nsecret = \"{secret}\"\nprevious_secret = \"{previous}\"\n\
             [scaled.callback]\nurl = \"{hook}\"\nformat = \"scale\"\nauth_key = \"{auth_key}\"\n\
             [clumsy.callback]\nurl = \"{hook}\"\nsecret = \"{malformed}\"\n\
             [astray.callback]\nurl = \"{hook}\"\nauth_key = {{ value = \"{misplaced}\" }}\n"
        );
        let records = world.customers.as_ref().unwrap().records() + &self.clouds.records() + &hooked;
        for (team, record) in records.parse::<toml::Table>().unwrap() {
            self.desk.put(&team, &serde_json::to_string(&record).unwrap());
        }
    }
}

/// A user of our account whose secret is like no other word.
fn our_key() -> Value {
    let [id, secret] = OUR_KEY;
    let policies = [allow(&["sts:AssumeRole", "s3:*"], "*")];
    let user = json!({"name": "careful", "key": {"id": id, "secret": secret}, "policies": policies});
    json!({"accounts": [{"id": OUR_ACCOUNT, "users": [user]}]})
}
