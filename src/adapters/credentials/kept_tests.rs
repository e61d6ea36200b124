use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use futures::future::join_all;
use tokio::time::sleep;

use super::*;
use crate::domain::fault::Code;
use crate::ports::credentials::AwsKeys;

const HOUR: Duration = Duration::from_secs(3600);

/// Counts its calls, answers after a second, and fails as long as it is told to.
#[derive(Default)]
struct Source {
    calls: AtomicU32,
    fails: std::sync::Mutex<Option<Code>>,
}

impl Source {
    async fn fetch(&self) -> Result<Fresh<AwsKeys>, AttachmentFault> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        sleep(Duration::from_secs(1)).await;
        if let Some(code) = *self.fails.lock().unwrap() {
            return Err(AttachmentFault::new(code, "told to fail"));
        }
        let keys = AwsKeys { access_key_id: call.to_string(), secret_access_key: "s".into(), session_token: None };
        Ok(Fresh { keys, life: HOUR })
    }

    fn fail(&self, code: Option<Code>) {
        *self.fails.lock().unwrap() = code;
    }
}

/// The name of the keys that are given now, or the code of what is.
async fn ask(kept: &Kept<AwsKeys>, source: &Source) -> Result<String, Code> {
    let found = kept.keys(|| source.fetch()).await;
    found.map(|keys| keys.access_key_id.clone()).map_err(|fault| fault.code)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_who_ask_at_once_cost_one_call() {
    let (kept, source) = (Kept::default(), Source::default());
    let found = join_all((0..10_000).map(|_| ask(&kept, &source))).await;
    assert!(found.iter().all(|keys| keys.as_deref() == Ok("1")));
    assert_eq!(source.calls.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_once_before_they_end_and_nobody_waits() {
    let (kept, source) = (Kept::default(), Source::default());
    ask(&kept, &source).await.unwrap();
    sleep(HOUR.mul_f64(0.69)).await;
    assert_eq!(ask(&kept, &source).await.unwrap(), "1");
    sleep(HOUR.mul_f64(0.12)).await;
    let asked_at = Instant::now();
    let found = join_all((0..100).map(|_| async { (ask(&kept, &source).await, asked_at.elapsed()) })).await;
    let waited = found.iter().filter(|(_, waited)| !waited.is_zero()).count();
    assert_eq!((waited, source.calls.load(SeqCst)), (1, 2));
    assert_eq!(ask(&kept, &source).await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_leaves_the_old_keys_until_they_end() {
    let (kept, source) = (Kept::default(), Source::default());
    ask(&kept, &source).await.unwrap();
    source.fail(Some(Code::Unavailable));
    sleep(HOUR.mul_f64(0.9)).await;
    for _ in 0..10 {
        assert_eq!(ask(&kept, &source).await.unwrap(), "1");
    }
    assert_eq!(source.calls.load(SeqCst), 2);
    sleep(HOUR.mul_f64(0.09)).await;
    assert_eq!(ask(&kept, &source).await, Err(Code::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn failures_are_remembered_and_refusals_longer() {
    for (code, remembered_secs) in [(Code::Unavailable, 3), (Code::IntegrationBroken, 30)] {
        let (kept, source) = (Kept::default(), Source::default());
        source.fail(Some(code));
        let found = join_all((0..100).map(|_| ask(&kept, &source))).await;
        assert!(found.iter().all(|found| *found == Err(code)));
        sleep(Duration::from_millis(remembered_secs * 1000 - 500)).await;
        assert_eq!(ask(&kept, &source).await, Err(code));
        assert_eq!(source.calls.load(SeqCst), 1, "{code}");
        source.fail(None);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&kept, &source).await.as_deref(), Ok("2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_failure_says_when_it_is_forgotten() {
    let (kept, source) = (Kept::default(), Source::default());
    source.fail(Some(Code::Throttled));
    ask(&kept, &source).await.unwrap_err();
    sleep(Duration::from_secs(1)).await;
    let fault = kept.keys(|| source.fetch()).await.unwrap_err();
    assert_eq!(fault.retry_after, Some(Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_refused_are_fetched_again_once() {
    let (kept, source) = (Kept::default(), Source::default());
    let old = kept.keys(|| source.fetch()).await.unwrap();
    // Everybody who held them says so, some of them late.
    kept.drop_if(|keys| keys.access_key_id == old.access_key_id).await;
    assert_eq!(ask(&kept, &source).await.unwrap(), "2");
    kept.drop_if(|keys| keys.access_key_id == old.access_key_id).await;
    assert_eq!(ask(&kept, &source).await.unwrap(), "2");
    assert_eq!(source.calls.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_fetching_to_the_next() {
    let (kept, source) = (Kept::default(), Source::default());
    let gone = tokio::time::timeout(Duration::from_millis(10), ask(&kept, &source)).await;
    assert!(gone.is_err());
    assert_eq!(ask(&kept, &source).await.unwrap(), "2");
}
