use tokio::time::{sleep, timeout};

use super::*;
use crate::domain::source::Place;
use crate::domain::team::Team;
use crate::engine::limits::{Limit, Limits};

const SECOND: Duration = Duration::from_secs(1);

fn team(name: &str) -> KnownTeam {
    KnownTeam { id: TeamId::new(name).expect("a good id"), record: Team::default() }
}

fn host(name: &str) -> Door {
    Door { place: Place::Host(name.to_owned()), port: None }
}

fn lanes(slots: usize, per_host: Limit) -> Lanes {
    Lanes::new(slots, LimitTable::new(Limits { per_host, ..Limits::default() }))
}

#[tokio::test(start_paused = true)]
async fn a_full_host_holds_up_nobody_else() {
    let lanes = lanes(16, Limit { in_flight: 2, ..Limit::default() });
    let (one, two) = (lanes.enter(&team("a"), &host("slow")).await, lanes.enter(&team("a"), &host("slow")).await);
    let (a, slow) = (team("a"), host("slow"));
    let third = lanes.enter(&a, &slow);
    tokio::pin!(third);
    assert!(timeout(SECOND, &mut third).await.is_err());
    assert!(timeout(SECOND, lanes.enter(&team("a"), &host("quick"))).await.is_ok());
    assert!(timeout(SECOND, lanes.enter(&team("b"), &host("quick"))).await.is_ok());
    drop(one);
    assert!(timeout(SECOND, third).await.is_ok());
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_takes_nothing_even_when_just_called() {
    let lanes = lanes(1, Limit::default());
    let held = lanes.enter(&team("a"), &host("h")).await;
    let (a, h) = (team("a"), host("h"));
    let mut waits: Vec<_> = (0..10).map(|_| Box::pin(lanes.enter(&a, &h))).collect();
    for wait in &mut waits {
        assert!(futures::poll!(wait).is_pending());
    }
    drop(waits.pop());
    // The first in line is called and never polled again.
    drop(held);
    drop(waits);
    assert!(timeout(SECOND, lanes.enter(&team("b"), &host("h"))).await.is_ok());
    assert!(lanes.0.state().callers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lane_goes_on_by_itself_when_its_rate_or_its_host_allows() {
    let lanes = lanes(16, Limit { requests_per_second: 2.0, ..Limit::default() });
    let began = Instant::now();
    for _ in 0..12 {
        drop(lanes.enter(&team("a"), &host("h")).await);
    }
    let took = began.elapsed().as_secs_f64();
    assert!((4.0..6.0).contains(&took), "two a second: {took} s");
    let mut fault = AttachmentFault::new(Code::Throttled, "later").with_status(429);
    fault.retry_after = Some(Duration::from_secs(7));
    let in_flight = lanes.enter(&team("a"), &host("g")).await.expect("free");
    in_flight.end(&Err::<(), _>(fault));
    assert_eq!(lanes.closed_for(&team("a").id, &host("g")), Some(Duration::from_secs(7)));
    let began = Instant::now();
    drop(lanes.enter(&team("a"), &host("g")).await);
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    sleep(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_host_that_is_not_there_shares_the_fault_of_who_tried() {
    let lanes = lanes(16, Limit { in_flight: 1, ..Limit::default() });
    let mut fault = AttachmentFault::new(Code::Unavailable, "the connection was refused");
    fault.is_unreached = true;
    let (a, dead) = (team("a"), host("dead"));
    for _ in 0..2 {
        lanes.enter(&a, &dead).await.expect("free").end(&Err::<(), _>(fault.clone()));
    }
    let tried = lanes.enter(&a, &dead).await.expect("free");
    let waiting = futures::future::join_all((0..20).map(|_| lanes.enter(&a, &dead)));
    tokio::pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    tried.end(&Err::<(), _>(fault.clone()));
    let told = timeout(SECOND, waiting).await.expect("all are told");
    assert!(told.into_iter().all(|told| told.err() == Some(fault.clone())));
}
