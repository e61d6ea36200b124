use super::*;

fn state() -> State {
    let intake = Intake::new(9);
    intake.state.into_inner().unwrap()
}

#[tokio::test]
async fn polls_never_ask_for_more_than_there_is_room_for() {
    let mut state = state();
    state.polls_wanted = POLLS_MAX;
    assert_eq!(state.new_polls(25, 0), [10, 10, 5]);
    assert_eq!(state.new_polls(25, 0), [0; 0], "the room is asked for already");
    state.poll_ended(10, &Ok(10));
    assert_eq!(state.new_polls(18, 0), [3]);
}

#[tokio::test]
async fn an_idle_queue_has_one_poll_and_a_busy_one_many() {
    let mut state = state();
    assert_eq!(state.new_polls(100, 9), [10]);
    state.poll_ended(10, &Ok(10));
    assert_eq!(state.new_polls(90, 9), [10, 10]);
    state.poll_ended(10, &Ok(0));
    state.poll_ended(10, &Ok(3));
    assert_eq!(state.new_polls(90, 9), [10], "an empty answer: one poll is enough");
}

#[tokio::test(start_paused = true)]
async fn reading_ahead_follows_what_was_handed_over_just_now() {
    let mut state = state();
    assert_eq!(state.new_polls(1, 9), [1], "nothing was handed over yet");
    state.poll_ended(1, &Ok(1));
    state.pace.note(4);
    assert_eq!(state.new_polls(1, 9), [5]);
    state.poll_ended(5, &Ok(5));
    assert_eq!(state.new_polls(1, 0), [1], "where it is not wanted");
    state.poll_ended(1, &Ok(1));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(state.new_polls(1, 9), [1], "slow work reads nothing ahead");
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_once_and_pauses_the_polls() {
    let mut state = state();
    assert_eq!(state.new_polls(10, 9), [10]);
    state.poll_ended(10, &Err(Trouble::Away("x".to_owned())));
    assert!(state.resume_at >= Instant::now() + Duration::from_millis(200));
    assert!(state.trouble.is_some());
}

#[test]
fn receives_that_only_hid_a_message_again_are_no_unfinished_deliveries() {
    let parcel = |not_before_ms, unfinished| Parcel { not_before_ms, unfinished, ..Parcel::default() };
    assert_eq!(unfinished(&parcel(None, 0), 1, Some(5)), 0);
    assert_eq!(unfinished(&parcel(None, 0), 3, Some(5)), 2);
    assert_eq!(unfinished(&parcel(Some(9), 0), 2, Some(5)), 0);
    assert_eq!(unfinished(&parcel(Some(9), 0), 2, Some(9)), 1);
    assert_eq!(unfinished(&parcel(None, 2), 1, None), 2, "what earlier copies saw is carried on");
}
