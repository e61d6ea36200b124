//! The worker's own look at integrations: once a day, by one of its replicas.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::MemoryFetcher;
use longshore::adapters::memory::store::MemoryStore;
use longshore::adapters::memory::teams::MemoryTeams;
use longshore::domain::access::{AwsReading, AwsRole, ClaimKind, CrossAccount, Grant};
use longshore::domain::fault::Code;
use longshore::domain::id::TeamId;
use longshore::domain::integration::{CheckName, Cloud, Finding, Verdict};
use longshore::domain::plan::Policy;
use longshore::domain::team::{AwsGrant, KnownTeam, Team};
use longshore::engine::claims::Claims;
use longshore::engine::integrations::recheck::Recheck;
use longshore::engine::integrations::standing::Standing;
use longshore::engine::integrations::{Integrations, Wish};
use longshore::engine::stop::Stop;
use longshore::engine::tally::Tally;
use longshore::ports::budget::Unlimited;
use longshore::ports::clock::Clock;
use longshore::ports::integrations::{CheckAsked, IntegrationChecks};
use longshore::ports::store::Store;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Finds each role good, or open to all, and counts who was looked at.
#[derive(Default)]
struct Inspector {
    looks: Mutex<Vec<String>>,
    finds_open: AtomicUsize,
}

impl Inspector {
    fn looks_at(&self, team: &str) -> usize {
        self.looks.lock().unwrap().iter().filter(|looked| *looked == team).count()
    }
}

#[async_trait]
impl IntegrationChecks for Inspector {
    fn cloud(&self) -> Cloud {
        Cloud::Aws
    }

    async fn check(&self, asked: &CheckAsked) -> Vec<Finding> {
        self.looks.lock().unwrap().push(asked.team.id.to_string());
        let verdict = if self.finds_open.load(SeqCst) > 0 { Verdict::Bad } else { Verdict::Good };
        vec![Finding::new(CheckName::ExternalIdRequired, verdict, "said so")]
    }
}

/// What replicas have in common.
struct Town {
    store: Arc<dyn Store>,
    teams: MemoryTeams,
    inspector: Arc<Inspector>,
    clock: Clock,
    stop: Stop,
}

fn role(name: &str) -> AwsGrant {
    AwsGrant {
        role_arn: Some(format!("arn:aws:iam::111122223333:role/{name}")),
        external_id: Some(format!("id-of-{name}")),
        ..AwsGrant::default()
    }
}

fn team(name: &str) -> TeamId {
    TeamId::new(name).unwrap()
}

impl Town {
    fn new() -> Self {
        let teams = MemoryTeams::new();
        for name in ["acme", "bolt"] {
            teams.put(name, Team { aws: Some(role(name)), ..Team::default() });
        }
        Self {
            store: Arc::new(MemoryStore::new()),
            teams,
            inspector: Arc::default(),
            clock: Clock::starting("2026-11-21T20:10:00Z".parse().unwrap()),
            stop: Stop::default(),
        }
    }

    fn claims(&self) -> Claims {
        Claims::new(Arc::clone(&self.store), self.clock)
    }

    fn integrations(&self) -> Integrations {
        Integrations {
            store: Arc::clone(&self.store),
            claims: self.claims(),
            fetcher: Arc::new(MemoryFetcher::new(Arc::new(Unlimited))),
            checks: vec![Arc::clone(&self.inspector) as Arc<dyn IntegrationChecks>],
            policy: Policy {
                allow_plain: false,
                cross_account: CrossAccount::Off,
                own_buckets: Vec::new(),
                azure_suffixes: Vec::new(),
                profiles: vec!["standard".into()],
            },
            clock: self.clock,
        }
    }

    /// Starts a replica that looks, and returns what it counts and what stands against grants.
    fn replica(&self, every: Duration) -> (Arc<Tally>, Arc<Standing>) {
        let tally = Arc::new(Tally::default());
        let standing = Arc::new(Standing::new(Arc::clone(&self.store)));
        let recheck = Recheck {
            integrations: self.integrations(),
            standing: Arc::clone(&standing),
            teams: Arc::new(self.teams.clone()),
            every,
            tally: Arc::clone(&tally),
            stop: self.stop.clone(),
        };
        tokio::spawn(async move { recheck.run().await });
        (tally, standing)
    }

    async fn objection(&self, standing: &Standing, name: &str) -> Option<Code> {
        let grant = self.teams_record(name).aws.unwrap();
        let used = Grant::AwsRole(AwsRole {
            role_arn: grant.role_arn.clone().unwrap(),
            external_id: grant.external_id.clone(),
            reading: AwsReading::default(),
        });
        let known = KnownTeam { id: team(name), record: self.teams_record(name) };
        standing.objection(&known, &used).await.unwrap().map(|fault| fault.code)
    }

    fn teams_record(&self, name: &str) -> Team {
        Team { aws: Some(role(name)), ..Team::default() }
    }
}

fn broken(tally: &Tally) -> Vec<u64> {
    tally.integrations_broken.iter().map(|count: &AtomicU64| count.load(SeqCst)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_integration_is_looked_at_once_a_day_however_many_replicas_there_are() {
    let town = Town::new();
    town.claims().claim(ClaimKind::Role, "arn:aws:iam::111122223333:role/acme", &team("acme")).await.unwrap();
    let replicas = [town.replica(DAY), town.replica(DAY), town.replica(DAY)];
    tokio::time::sleep(DAY.mul_f64(0.5)).await;
    assert_eq!(
        (town.inspector.looks_at("acme"), town.inspector.looks_at("bolt")),
        (1, 0),
        "who has claimed nothing uses nothing"
    );
    town.inspector.finds_open.store(1, SeqCst);
    tokio::time::sleep(DAY * 5).await;
    let looks = town.inspector.looks_at("acme");
    assert!((5..=7).contains(&looks), "{looks} looks in five and a half days");
    for (tally, _) in &replicas {
        assert_eq!(broken(tally), [1, 0, 0], "every replica counts what stands in the store");
    }
    town.inspector.finds_open.store(0, SeqCst);
    tokio::time::sleep(DAY * 2).await;
    assert_eq!(broken(&replicas[0].0), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_used_first_is_looked_at_within_minutes_and_an_open_role_is_not_used() {
    let town = Town::new();
    let (_, standing) = town.replica(DAY);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    town.inspector.finds_open.store(1, SeqCst);
    assert_eq!(town.objection(&standing, "acme").await, None, "nobody has looked yet");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(town.inspector.looks_at("acme"), 1);
    assert_eq!(town.objection(&standing, "acme").await, Some(Code::IntegrationBroken));
    // Another role is another grant, of which nothing is known.
    town.teams.put("acme", Team { aws: Some(role("other")), ..Team::default() });
    town.inspector.finds_open.store(0, SeqCst);
    let known = KnownTeam { id: team("acme"), record: Team { aws: Some(role("other")), ..Team::default() } };
    let used = Grant::AwsRole(AwsRole { role_arn: "r".into(), external_id: None, reading: AwsReading::default() });
    assert!(standing.objection(&known, &used).await.unwrap().is_none());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(town.inspector.looks_at("acme"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_team_that_says_it_knows_is_not_held_up_and_days_of_no_length_have_no_looks() {
    let town = Town::new();
    let (_, standing) = town.replica(Duration::ZERO);
    town.inspector.finds_open.store(1, SeqCst);
    let knows = AwsGrant { insecure: true, ..role("acme") };
    let known = Arc::new(KnownTeam { id: team("acme"), record: Team { aws: Some(knows), ..Team::default() } });
    let reports = town.integrations().check(&known, &Wish::default()).await.unwrap();
    assert!(reports[0].shows_open_role());
    let used = Grant::AwsRole(AwsRole { role_arn: "r".into(), external_id: None, reading: AwsReading::default() });
    assert_eq!(standing.objection(&known, &used).await.unwrap(), None);
    tokio::time::sleep(DAY * 3).await;
    assert_eq!(town.inspector.looks_at("acme"), 1, "only the one that was asked for");
}
