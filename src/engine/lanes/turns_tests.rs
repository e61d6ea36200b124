use proptest::prelude::*;

use super::*;
use crate::domain::fault::Code;

const TEAM: TeamTerms = TeamTerms { weight: 1, in_flight: 1000, per_second: 1_000_000.0 };
const PLACE: PlaceTerms = PlaceTerms { in_flight: 1000, per_second: 1_000_000.0 };

fn team(name: &str) -> TeamId {
    TeamId::new(name).expect("a good id")
}

fn host(name: &str) -> Door {
    Door { place: Place::Host(name.to_owned()), port: None }
}

/// Lanes, and what is under way in them.
struct Ground {
    turns: Turns,
    now: Instant,
    under_way: Vec<Start>,
}

impl Ground {
    fn new(slots: usize) -> Self {
        Self { turns: Turns::new(slots), now: Instant::now(), under_way: Vec::new() }
    }

    fn waits(&mut self, name: &str, place: &str, count: usize) {
        self.waits_on(name, TEAM, place, PLACE, count);
    }

    fn waits_on(&mut self, name: &str, terms: TeamTerms, place: &str, place_terms: PlaceTerms, count: usize) {
        for _ in 0..count {
            let _refused = self.turns.wait((&team(name), terms), (&host(place), place_terms), self.now);
        }
    }

    /// Starts what may start.
    fn run(&mut self) -> Next {
        loop {
            match self.turns.next(self.now) {
                Next::Start(start) => self.under_way.push(start),
                end @ (Next::At(_) | Next::Nothing) => return end,
            }
        }
    }

    fn count(&self, name: &str) -> usize {
        self.under_way.iter().filter(|start| start.team == team(name)).count()
    }

    fn count_at(&self, place: &str) -> usize {
        self.under_way.iter().filter(|start| start.door == host(place)).count()
    }

    fn end(&mut self, index: usize, bytes: u64, sign: Sign) -> Vec<Ticket> {
        let start = self.under_way.remove(index);
        let fault = AttachmentFault::new(Code::Timeout, "as the sign says");
        let ended = Ended { charged: start.guess, bytes, began: self.now, sign, fault: Some(&fault) };
        self.turns.end(&start.team, &start.door, ended, self.now)
    }

    /// Ends the oldest one again and again, `count` times, and starts what may start; counts what each team began.
    fn churn(&mut self, count: usize, bytes: impl Fn(&Start) -> u64) -> BTreeMap<String, usize> {
        let mut began: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..count {
            let size = bytes(&self.under_way[0]);
            self.end(0, size, Sign::Well);
            let before = self.under_way.len();
            self.run();
            for start in &self.under_way[before..] {
                *began.entry(start.team.to_string()).or_default() += 1;
            }
        }
        began
    }
}

#[tokio::test(start_paused = true)]
async fn a_team_that_comes_late_goes_next_and_finds_room() {
    let mut ground = Ground::new(128);
    ground.waits("flood", "a", 50_000);
    for _ in 0..500 {
        ground.run();
        ground.end(0, 1000, Sign::Well);
    }
    ground.run();
    assert_eq!(ground.count("flood"), 96, "a quarter is left free");
    ground.waits("late", "b", 1);
    ground.run();
    assert_eq!(ground.count("late"), 1, "it does not wait for anybody");
}

#[tokio::test(start_paused = true)]
async fn teams_share_by_weight_and_bytes() {
    // One place for both, which is narrower than what there is, so that only the turns decide.
    let narrow = PlaceTerms { in_flight: 8, ..PLACE };
    let mut ground = Ground::new(64);
    let heavy = TeamTerms { weight: 3, ..TEAM };
    ground.waits_on("heavy", heavy, "h", narrow, 10_000);
    ground.waits_on("light", TEAM, "h", narrow, 10_000);
    ground.run();
    let began = ground.churn(4000, |_| 100_000);
    let share = began["heavy"] as f64 / began["light"] as f64;
    assert!((2.7..3.3).contains(&share), "three to one: {began:?}");

    let mut ground = Ground::new(64);
    ground.waits_on("large", TEAM, "h", narrow, 10_000);
    ground.waits_on("small", TEAM, "h", narrow, 10_000);
    ground.run();
    // What both bring cannot be guessed by their place: it is put right when they end.
    let size = |start: &Start| if start.team == team("large") { 4 << 20 } else { 64 << 10 };
    ground.churn(1000, size);
    let began = ground.churn(4000, size);
    // A large one costs 4 MiB and 64 KiB, a small one 128 KiB.
    let share = began["small"] as f64 / began["large"] as f64;
    assert!((24.0..42.0).contains(&share), "by bytes, not by number: {began:?}");
}

#[tokio::test(start_paused = true)]
async fn idleness_is_not_saved_up() {
    let mut ground = Ground::new(4);
    ground.waits("a", "a", 1000);
    ground.run();
    ground.churn(500, |_| 1 << 20);
    ground.waits("b", "b", 1000);
    ground.run();
    let began = ground.churn(100, |_| 1 << 20);
    assert!(began["a"] > 40, "who asks for the first time now is not owed the past: {began:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_may_not_run_holds_up_no_other() {
    let mut ground = Ground::new(64);
    let narrow = PlaceTerms { in_flight: 2, ..PLACE };
    ground.waits_on("a", TEAM, "narrow", narrow, 100);
    let slow = PlaceTerms { per_second: 1.0, ..PLACE };
    ground.waits_on("a", TEAM, "slow", slow, 100);
    ground.waits("a", "quick", 100);
    ground.waits_on("b", TEAM, "narrow", narrow, 1);
    let end = ground.run();
    assert_eq!((ground.count_at("narrow"), ground.count_at("quick")), (2, 8));
    assert!(ground.count_at("slow") <= 4, "no more than go through now");
    let Next::At(again) = end else { panic!("the slow one goes on later: {end:?}") };
    assert!(again > ground.now && again <= ground.now + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_wish_closes_the_teams_lane_and_two_wishes_close_the_host() {
    let mut ground = Ground::new(64);
    for name in ["a", "b", "c"] {
        ground.waits(name, "h", 50);
    }
    ground.waits("a", "other", 8);
    ground.run();
    let wish = |secs| Sign::Overloaded { retry_after: Some(Duration::from_secs(secs)) };
    let first = |ground: &Ground, name: &str| {
        ground.under_way.iter().position(|start| start.team == team(name) && start.door == host("h")).expect("one")
    };
    let index = first(&ground, "a");
    ground.end(index, 0, wish(60));
    let opens = |ground: &Ground, name: &str| {
        let opens = ground.turns.opens_at(&team(name), &host("h"), ground.now)?;
        Some(opens.duration_since(ground.now).as_secs())
    };
    assert_eq!((opens(&ground, "a"), opens(&ground, "b"), opens(&ground, "c")), (Some(60), None, None));
    let index = first(&ground, "b");
    ground.end(index, 0, wish(100_000));
    assert_eq!((opens(&ground, "b"), opens(&ground, "c")), (Some(900), Some(900)), "at most a quarter of an hour");
    let before = ground.count_at("h");
    ground.run();
    assert_eq!(ground.count_at("h"), before, "nobody begins there");
    assert_eq!(ground.count_at("other"), 8);
    ground.now += Duration::from_secs(900);
    while !ground.under_way.is_empty() {
        ground.end(0, 0, Sign::Nothing);
    }
    ground.run();
    assert_eq!(["a", "b", "c"].map(|name| ground.count(name) > 0), [true; 3]);
}

#[tokio::test(start_paused = true)]
async fn one_try_speaks_for_all_that_wait_for_a_host_that_is_not_there() {
    let mut ground = Ground::new(64);
    ground.waits("a", "dead", 100);
    ground.waits("b", "dead", 1);
    ground.run();
    let mut shared = Vec::new();
    while shared.is_empty() {
        let index = ground.under_way.iter().position(|start| start.team == team("a")).expect("one is tried");
        shared = ground.end(index, 0, Sign::Unreachable);
        ground.run();
    }
    assert_eq!(shared.len(), 92, "all but the eight that had begun");
    assert_eq!(ground.count("b"), 1, "another team is not concerned");
    while let Some(index) = ground.under_way.iter().position(|start| start.team == team("a")) {
        ground.end(index, 0, Sign::Unreachable);
    }
    ground.waits("a", "dead", 10);
    ground.run();
    assert_eq!(ground.count("a"), 0, "what comes is told at once");
    ground.now += Duration::from_secs(31);
    ground.waits("a", "dead", 1);
    ground.run();
    ground.waits("a", "dead", 10);
    ground.run();
    assert_eq!(ground.count("a"), 1, "one tries, and the others are told what is known");
    let index = ground.under_way.iter().position(|start| start.team == team("a")).expect("one is tried");
    ground.end(index, 10, Sign::Well);
    ground.waits("a", "dead", 10);
    ground.run();
    assert!(ground.count("a") > 1, "it is back");
}

#[tokio::test(start_paused = true)]
async fn a_port_at_which_nobody_is_condemns_no_other_port_of_its_host() {
    let mut ground = Ground::new(64);
    let door = |port| Door { port: Some(port), ..host("h") };
    let narrow = PlaceTerms { in_flight: 4, ..PLACE };
    for port in [1, 443].into_iter().cycle().take(200) {
        ground.turns.wait((&team("a"), TEAM), (&door(port), narrow), ground.now).expect("none is known to be dead");
    }
    ground.run();
    assert_eq!(ground.under_way.len(), 4, "they share what their host allows");
    let (mut shared, mut well) = (0, 0);
    while !ground.under_way.is_empty() {
        let is_well = ground.under_way[0].door == door(443);
        well += usize::from(is_well);
        shared += ground.end(0, 0, if is_well { Sign::Well } else { Sign::Unreachable }).len();
        ground.run();
        assert!(ground.under_way.len() <= 4);
    }
    assert!(shared > 50, "one spoke for most at the dead port: {shared}");
    assert_eq!(well, 100, "and for none at the other one");
    assert!(ground.turns.is_dead(&team("a"), &door(1), ground.now));
    assert!(!ground.turns.is_dead(&team("a"), &door(443), ground.now));
}

#[tokio::test(start_paused = true)]
async fn a_wish_closes_all_the_teams_ways_to_its_host() {
    let mut ground = Ground::new(64);
    let door = |port| Door { port: Some(port), ..host("h") };
    for (name, port) in [("a", 80), ("a", 443), ("b", 443)] {
        ground.turns.wait((&team(name), TEAM), (&door(port), PLACE), ground.now).expect("none is dead");
    }
    ground.run();
    let wish = Sign::Overloaded { retry_after: Some(Duration::from_secs(60)) };
    let index = ground.under_way.iter().position(|start| start.door == door(443) && start.team == team("a"));
    ground.end(index.expect("one"), 0, wish);
    let is_closed =
        |ground: &Ground, name: &str, port| ground.turns.opens_at(&team(name), &door(port), ground.now).is_some();
    assert!(is_closed(&ground, "a", 80) && is_closed(&ground, "a", 443));
    assert!(!is_closed(&ground, "b", 443), "one team's wish may mean that team");
    let index = ground.under_way.iter().position(|start| start.team == team("b"));
    ground.end(index.expect("one"), 0, wish);
    assert!(is_closed(&ground, "c", 8080), "two were sent away, at whichever port");
}

#[tokio::test(start_paused = true)]
async fn lanes_that_nobody_uses_are_forgotten() {
    let mut ground = Ground::new(4);
    for number in 0..3 * KEPT_MAX {
        ground.waits(&format!("t{}", number % 7), &format!("h{number}"), 1);
        ground.run();
        ground.end(0, 10, Sign::Well);
    }
    assert!(ground.turns.lanes <= KEPT_MAX + 1 && ground.turns.places.len() <= KEPT_MAX + 1);
}

proptest! {
    /// Whatever comes, leaves and ends, no limit is passed, nothing is counted twice, and nobody who may run waits.
    #[test]
    fn limits_hold_and_nobody_waits_for_nothing(
        steps in prop::collection::vec((0u8..4, 0u8..5, 0u8..6, 0u64..10_000_000), 1..400), slots in 1usize..20
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("one");
        let _inside = runtime.enter();
        let terms = TeamTerms { in_flight: 6, ..TEAM };
        let place_terms = PlaceTerms { in_flight: 4, ..PLACE };
        let mut ground = Ground::new(slots);
        let mut waiting: Vec<(String, String, Ticket)> = Vec::new();
        for (step, who, at, bytes) in steps {
            let (name, place) = (format!("t{who}"), format!("h{at}"));
            match step {
                0 | 1 => {
                    let now = ground.now;
                    let ticket = ground.turns.wait((&team(&name), terms), (&host(&place), place_terms), now).expect("none is dead");
                    waiting.push((name, place, ticket));
                }
                2 if !ground.under_way.is_empty() => {
                    let index = usize::try_from(bytes).expect("small") % ground.under_way.len();
                    let sign = [Sign::Well, Sign::Nothing, Sign::Overloaded { retry_after: None }][usize::from(at) % 3];
                    ground.end(index, bytes, sign);
                }
                3 if !waiting.is_empty() => {
                    let (name, place, ticket) = waiting.remove(usize::from(who) % waiting.len());
                    ground.turns.leave(&team(&name), &host(&place), ticket);
                }
                _ => ground.now += Duration::from_millis(bytes % 1000),
            }
            let end = ground.run();
            waiting.retain(|(_, _, ticket)| ground.under_way.iter().all(|start| start.ticket != *ticket));
            prop_assert!(ground.under_way.len() <= slots);
            prop_assert_eq!(ground.under_way.len(), ground.turns.in_flight);
            for number in 0..6 {
                let (team, place) = (format!("t{number}"), format!("h{number}"));
                prop_assert!(ground.count(&team) <= 6 && ground.count_at(&place) <= 4);
            }
            // With nothing under way only a closed lane may make anybody wait.
            let closed_only = matches!(end, Next::At(_)) || waiting.is_empty();
            prop_assert!(!ground.under_way.is_empty() || closed_only, "{} wait for nothing", waiting.len());
        }
    }
}
