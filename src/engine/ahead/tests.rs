use super::team::{EXPECTED_FOR, MORE};
use super::*;

fn team(name: &str) -> TeamId {
    TeamId::new(name).expect("a good id")
}

/// How many of 64 places are free.
fn free(ahead: &Ahead) -> usize {
    64usize.saturating_sub(ahead.teams.values().map(|busy| busy.in_hand).sum())
}

/// Offers messages of a team, and returns how many begin and how many wait, and for how long the others are put off.
fn offer(ahead: &mut Ahead, name: &str, count: usize, now: Instant) -> (usize, usize, Vec<Duration>) {
    let (mut begun, mut waiting, mut delays) = (0, 0, Vec::new());
    for _ in 0..count {
        match ahead.choose(&team(name), free(ahead), true, now) {
            Choice::Begin => begun += 1,
            Choice::Wait => waiting += 1,
            Choice::PutOff(delay) => delays.push(delay),
        }
    }
    (begun, waiting, delays)
}

/// Ends messages of a team, and lets those begin that wait; returns how many do.
fn end(ahead: &mut Ahead, name: &str, count: usize, now: Instant) -> usize {
    (0..count).for_each(|_| ahead.ended(&team(name), now));
    std::iter::from_fn(|| ahead.next(free(ahead), now)).count()
}

#[tokio::test(start_paused = true)]
async fn a_busy_team_leaves_room_and_its_rest_comes_back_at_its_own_pace() {
    let (mut ahead, now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    let (begun, waiting, delays) = offer(&mut ahead, "busy", 10_000, now);
    assert_eq!((begun, waiting), (48, 192), "a quarter is kept free, in the line too");
    assert_eq!(delays.len(), 9_760);
    assert!(delays.is_sorted() && delays[0] == SHORTEST);
    let expected = 9_760.0 / FIRST_PACE / MORE;
    let last = delays[9_759].as_secs_f64();
    assert!((last - expected).abs() < 0.1, "{last} s for what is expected to take {expected} s");
    assert_eq!(offer(&mut ahead, "quiet", 1, now).0, 1, "another one begins at once");
}

#[tokio::test(start_paused = true)]
async fn a_burst_waits_in_hand_and_is_never_moved() {
    let (mut ahead, now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    assert_eq!(offer(&mut ahead, "busy", 240, now), (48, 192, vec![]));
    assert_eq!(end(&mut ahead, "busy", 10, now), 10);
    assert_eq!(offer(&mut ahead, "busy", 1, now).1, 1, "behind its own");
    let mut begun = 10;
    while begun < 193 {
        let more = end(&mut ahead, "busy", 48, now);
        assert!(more > 0, "{begun} have begun");
        begun += more;
    }
    assert_eq!((ahead.waiting, ahead.in_line.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_as_would_begin_soon() {
    let (mut ahead, mut now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    for _ in 0..30 {
        let _begun = end(&mut ahead, "slow", 10, now);
        let _more = offer(&mut ahead, "slow", 100, now);
        now += Duration::from_secs(1);
    }
    assert!((10..=12).contains(&ahead.waiting), "{}: what ends in a second", ahead.waiting);
    // Who has waited for long makes room for others.
    let waiting = ahead.waiting;
    assert!(ahead.tires(&team("slow"), now).is_some());
    assert_eq!(ahead.waiting, waiting - 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_least_in_hand_begins_first_and_none_leaves_the_line_to_nobody() {
    let (mut ahead, now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    assert_eq!(offer(&mut ahead, "first", 100, now), (48, 52, vec![]));
    assert_eq!(offer(&mut ahead, "second", 100, now), (12, 88, vec![]));
    assert_eq!(end(&mut ahead, "first", 12, now), 9, "some are kept free");
    let in_hand = |ahead: &Ahead, name| ahead.teams[&team(name)].in_hand;
    assert_eq!((in_hand(&ahead, "first"), in_hand(&ahead, "second")), (36, 21));
    (0..52).for_each(|_| ahead.left(&team("first")));
    assert_eq!(ahead.in_line, [team("second")]);
    assert_eq!(ahead.waiting, 79);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_away_than_allowed() {
    let (mut ahead, now) = (Ahead::new(64, 100, Moves::Free), Instant::now());
    let (_, _, delays) = offer(&mut ahead, "busy", 1000, now);
    assert_eq!(delays.len(), 100);
    let (_, _, delays) = offer(&mut Ahead::new(64, 0, Moves::Free), "busy", 1000, now);
    assert!(delays.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_team_that_shows_to_be_quick_has_no_more_away_by_that() {
    let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    let (_, _, delays) = offer(&mut ahead, "busy", 10_240, start);
    assert_eq!(delays.len(), 10_000);
    let later = start + Duration::from_secs(1);
    let _begun = end(&mut ahead, "busy", 5_000, later);
    let (begun, waiting, delays) = offer(&mut ahead, "busy", 15_000, later);
    assert!((11_000..=13_000).contains(&delays.len()), "two thousand are back, {} more may be away", delays.len());
    assert_eq!(begun + waiting + delays.len(), 15_000);
    let all_back = later + LONGEST + Duration::from_secs(1);
    assert_eq!(ahead.teams[&team("busy")].away.count, 20_000);
    assert!(matches!(ahead.choose(&team("busy"), 0, true, all_back), Choice::PutOff(_)), "they are back");
}

#[tokio::test(start_paused = true)]
async fn in_a_rush_looking_goes_before_a_busy_teams_work() {
    let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    assert_eq!(offer(&mut ahead, "busy", 1_000, start).0, 48);
    assert_eq!(end(&mut ahead, "busy", 45, start), 1, "three are in hand, and four may be");
    assert_eq!(offer(&mut ahead, "busy", 100, start).2.len(), 100, "none waits instead");
    assert!(matches!(ahead.choose(&team("busy"), 60, false, start), Choice::PutOff(_)), "it waits until it may go");
    assert!(matches!(ahead.come_back(&team("busy"), 60, 128, start), ComeBack::In(_)), "nothing is brought back");
    assert_eq!(offer(&mut ahead, "other", 8, start).0, 8, "others begin");
    // In the next window come some, and in the one after it one.
    let next = start + rush::WINDOW;
    assert_eq!(offer(&mut ahead, "busy", 50, next).2.len(), 50);
    assert_eq!(offer(&mut ahead, "busy", 1, next + rush::WINDOW).1, 1, "no more than its share is put off");
    assert_eq!(end(&mut ahead, "busy", 0, next + rush::WINDOW), 38, "those that wait begin, as far as they may");
    // A quick team's that come back too early make none.
    let later = next + rush::WINDOW * 5;
    assert_eq!(offer(&mut ahead, "busy", 38, later).1, 38);
    for _ in 0..200 {
        assert_eq!(end(&mut ahead, "busy", 1, later), 1);
        let (begun, waiting, delays) = offer(&mut ahead, "busy", 4, later);
        assert_eq!((begun, waiting, delays.len()), (0, 1, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rush_that_goes_on_for_long_has_an_end_too() {
    let (mut ahead, start) = (Ahead::new(64, 1_000_000, Moves::Free), Instant::now());
    let mut at = start;
    assert_eq!(offer(&mut ahead, "busy", 1_000, at).0, 48);
    let _one = end(&mut ahead, "busy", 45, at);
    while at < start + rush::LONGEST - rush::WINDOW {
        at += rush::WINDOW;
        assert_eq!(offer(&mut ahead, "busy", 200, at).2.len(), 200);
        assert_eq!(end(&mut ahead, "busy", 0, at), 0);
    }
    at += rush::WINDOW;
    let begun = offer(&mut ahead, "busy", 200, at).0 + end(&mut ahead, "busy", 0, at);
    assert_eq!(begun, 44);
    // All that may be away is; then the rest begins, as far as there are places.
    let mut ahead = Ahead::new(64, 500, Moves::Free);
    assert_eq!(offer(&mut ahead, "busy", 1_000, start).0, 1_000 - 192 - 500);
}

#[tokio::test(start_paused = true)]
async fn a_quick_teams_messages_come_back_soon() {
    let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    let _first = offer(&mut ahead, "busy", 48, start);
    for second in 1..10 {
        for _ in 0..1000 {
            ahead.ended(&team("busy"), start + Duration::from_secs(second));
        }
        let _more = offer(&mut ahead, "busy", 48, start + Duration::from_secs(second));
    }
    let now = start + Duration::from_secs(10);
    let (_, _, delays) = offer(&mut ahead, "busy", 10_000, now);
    let last = delays.last().expect("some are put off").as_secs_f64();
    assert!((4.0..11.0).contains(&last), "ten thousand at a thousand a second, and sooner: {last} s");
}

#[tokio::test(start_paused = true)]
async fn moves_that_are_paid_for_have_their_measure() {
    let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Paid), Instant::now());
    let (begun, waiting, delays) = offer(&mut ahead, "busy", 248, start);
    assert_eq!(
        (begun, waiting, delays.len()),
        (48, 100, 100),
        "a hundred are looked past at once, beyond those that wait"
    );
    assert_eq!(offer(&mut ahead, "busy", 1, start).0, 1, "and no more: it waits for its place");
    // A flow of fifty a second.
    let mut moved = 0;
    for nth in 1..=5_000u32 {
        let now = start + Duration::from_secs(1) * nth / 50;
        ahead.ended(&team("busy"), now);
        for _ in 0..2 {
            moved += u32::from(matches!(ahead.choose(&team("busy"), 0, true, now), Choice::PutOff(_)));
        }
    }
    assert!((1_400..=1_600).contains(&moved), "{moved} moves for 5,000 messages");
}

#[tokio::test(start_paused = true)]
async fn messages_that_were_put_off_together_come_back_when_some_of_them_would_begin_or_wait() {
    let (mut ahead, now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
    let busy = team("busy");
    let at_pace = |ahead: &mut Ahead, pace, now| {
        let busy = ahead.teams.get_mut(&busy).unwrap();
        (busy.pace, busy.since, busy.ended) = (pace, now, 0);
    };
    let stays_away = |comes: ComeBack| matches!(comes, ComeBack::In(wait) if wait >= SHORTEST);
    assert_eq!(offer(&mut ahead, "busy", 60, now), (48, 12, vec![]));
    at_pace(&mut ahead, 1.0, now);
    assert!(stays_away(ahead.come_back(&busy, 16, 32, now)), "it has its share, and few may wait");
    assert_eq!(end(&mut ahead, "busy", 8, now), 8);
    assert_eq!(ahead.come_back(&busy, 16, 6, now), ComeBack::Now(6), "all that are left would wait");
    assert!(stays_away(ahead.come_back(&busy, 16, 6, now)), "which are expected");
    let later = now + EXPECTED_FOR + Duration::from_millis(1);
    at_pace(&mut ahead, 1.0, later);
    assert_eq!(ahead.come_back(&busy, 16, 6, later), ComeBack::Now(6), "they went elsewhere");
    assert_eq!(offer(&mut ahead, "busy", 6, later), (0, 6, vec![]));
    assert!(stays_away(ahead.come_back(&busy, 16, 6, later)));
    // Of a quick one more may wait, and of what there is no room for the rest stays away.
    at_pace(&mut ahead, 500.0, later);
    assert_eq!(ahead.come_back(&busy, 16, 128, later), ComeBack::Now(128));
    assert_eq!(ahead.come_back(&busy, 16, 128, later), ComeBack::Now(192 - 10 - 128));
    assert!(stays_away(ahead.come_back(&busy, 16, 128, later)));
    // Something comes back to whom nothing is in hand.
    let slow = team("slow");
    ahead.teams.insert(slow.clone(), Busy::new(0.0, later));
    assert_eq!(ahead.come_back(&slow, 0, 128, later), ComeBack::Now(32));
}

#[tokio::test(start_paused = true)]
async fn those_that_have_to_wait_are_looked_at_evenly_and_stay_counted() {
    let (mut ahead, now) = (Ahead::new(64, 625 * 32, Moves::Free), Instant::now());
    let busy = team("busy");
    let _begun = offer(&mut ahead, "busy", 240, now);
    let waits_at = |ahead: &mut Ahead, now| -> Vec<u64> {
        let wait = |_| match ahead.come_back(&busy, 16, 32, now) {
            ComeBack::In(wait) => wait.as_secs(),
            ComeBack::Now(number) => panic!("{number} of a team come back that has its share and its line full"),
        };
        (0..625).map(wait).collect()
    };
    let longest = waits_at(&mut ahead, now).into_iter().max().unwrap();
    assert!((9..=12).contains(&longest), "twenty thousand at two thousand a second: {longest} s");
    assert_eq!(ahead.teams[&busy].away.count, 625 * 32);
    assert!(matches!(ahead.choose(&busy, 0, true, now), Choice::Begin), "no more are away than allowed");
    // A slow team's are spread over a minute.
    let later = now + LONGEST;
    ahead.teams.get_mut(&busy).unwrap().pace = 0.0;
    ahead.teams.get_mut(&busy).unwrap().since = later;
    let waits = waits_at(&mut ahead, later);
    for second in 2..58 {
        let looks = waits.iter().filter(|wait| (second..second + 2).contains(*wait)).count();
        assert!((1..=40).contains(&looks), "{looks} looks in the two seconds from {second} on");
    }
    let away = ahead.teams.get_mut(&busy).unwrap().away.count(later);
    assert_eq!(away, 625 * 32, "those of before are back");
}
