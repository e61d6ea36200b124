//! Arms a crash point of the engine from what a test says: `LONGSHORE_TEST_CRASH=POINT:kill|freeze:COUNT[:TASK]`.
//! Only with the feature `testing`; a release neither reads the variable nor has the points.

use crate::ports::crash::{Blow, arm};

/// Arms the point that the environment names, if it names one.
///
/// # Panics
/// If it names one that cannot be understood: the test would prove nothing.
#[expect(clippy::disallowed_methods, reason = "a test's own setting, which `config show` must not know")]
pub fn arm_from_environment() {
    let Ok(said) = std::env::var("LONGSHORE_TEST_CRASH") else {
        return;
    };
    let parts: Vec<&str> = said.split(':').collect();
    let (point, blow, count, task) = match parts[..] {
        [point, blow, count] => (point, blow, count, None),
        [point, blow, count, task] => (point, blow, count, Some(task)),
        _ => panic!("LONGSHORE_TEST_CRASH must be POINT:kill|freeze:COUNT[:TASK] and is {said:?}"),
    };
    let blow = match blow {
        "kill" => Blow::Kill,
        "freeze" => Blow::Freeze,
        other => panic!("LONGSHORE_TEST_CRASH knows no {other:?}"),
    };
    let count = count.parse().expect("the count is a number");
    arm(point, blow, count, task);
}
