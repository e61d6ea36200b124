//! Slots out of Redis: one script decides, by Redis's own clock, so that the replicas' clocks do not matter.
//!
//! What is kept there is a number for each key in use, for some seconds longer than its slots reach, and the list of replicas
//! that were seen lately. Losing all of it costs nothing: a key that is not there begins without a burst. All keys have one hash tag,
//! so that a Redis in cluster mode takes them in one script. The connection is made when it is first used, and made anew after
//! anything that went wrong: one that only hangs, or leads to a replica that takes no writes, would not break by itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, FromRedisValue, Script, ScriptInvocation};
use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use crate::ports::budget::{Answer, Ask, Row, SharedSlots, SlotsAway};

/// How long Redis may take to answer: an answer decides when a request goes out.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How often a replica says that it is there; one that has not been heard of for three times as long is not counted.
const SAYS_EVERY: Duration = Duration::from_secs(3);
const SAYS_REMEMBERED: usize = 4;
const KEY_OF_REPLICAS: &str = "{longshore}:replicas";

/// Answers one ask after the other, as `engine::limits::slots::take_of_all` does. Of each, `ARGV` holds how many slots it wants and of
/// how many rows, then for each row its interval and slack in µs; `KEYS` holds the rows' keys in the same order. The answer has
/// two numbers for each ask: which of its rows is full (0: none, it has its slots), and how many µs from now its first slot is, or
/// it is worth asking again.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local taken, answers, arg, key = {}, {}, 0, 0
local function argument()
  arg = arg + 1
  return tonumber(ARGV[arg])
end
while arg < #ARGV do
  local number, count, rows = argument(), argument(), {}
  local last, full, slack = now, 0, math.huge
  for nth = 1, count do
    key = key + 1
    local row = {key = KEYS[key], interval = argument(), slack = argument()}
    local free = taken[row.key] or tonumber(redis.call('GET', row.key) or now)
    if free > now + row.slack + math.max(1024 * row.interval, 60000000) then
      free = now
    end
    row.due = math.max(free, now - row.slack)
    slack = math.min(slack, row.slack)
    if row.due > last then
      last, full = row.due, nth
    end
    rows[nth] = row
  end
  local is_full = last > now + slack
  if not is_full then
    for _, row in ipairs(rows) do
      taken[row.key] = row.due + number * row.interval
    end
  end
  table.insert(answers, is_full and full or 0)
  table.insert(answers, math.ceil(last - now - (is_full and slack or 0)))
end
for name, free in pairs(taken) do
  local kept_ms = math.ceil(math.max(free - now, 0) / 1000) + 10000
  redis.call('SET', name, string.format('%.3f', free), 'PX', string.format('%.0f', kept_ms))
end
return answers
";

/// Notes that `ARGV[1]` is there, forgets those not heard of for `ARGV[2]` seconds, and answers how many there are.
const SAY: &str = r"
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], 3600)
return redis.call('ZCARD', KEYS[1])
";

/// A Redis that cannot be used as it is configured, or does not answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The URL is no Redis URL. A person must change it.
    #[error("{0}")]
    BadUrl(String),
    /// It does not answer now.
    #[error("{0}")]
    Away(String),
}

/// Slots that all replicas draw from one Redis.
pub struct RedisSlots {
    link: Arc<Link>,
    take: Script,
    replicas: Arc<AtomicU32>,
    saying: JoinHandle<()>,
}

impl Drop for RedisSlots {
    fn drop(&mut self) {
        self.saying.abort();
    }
}

impl RedisSlots {
    /// Meets the Redis at `url` (`redis://` or `rediss://`) and says from then on that this replica is there.
    ///
    /// # Errors
    /// [`RedisError`]; its words never hold the URL's password.
    pub async fn open(url: &str) -> Result<Self, RedisError> {
        let client = Client::open(url).map_err(|error| RedisError::BadUrl(error.category().to_owned()))?;
        let away = |error: ::redis::RedisError| RedisError::Away(error.to_string());
        let link = Arc::new(Link { manager: Mutex::new(made(&client).map_err(away)?), client });
        let name = Uuid::now_v7().to_string();
        let seen = say(&link, &name).await.map_err(away)?;
        let replicas = Arc::new(AtomicU32::new(seen));
        let saying = tokio::spawn(keep_saying(Arc::clone(&link), name, Arc::clone(&replicas)));
        Ok(Self { link, take: Script::new(TAKE), replicas, saying })
    }
}

/// The way to the Redis.
struct Link {
    client: Client,
    manager: Mutex<ConnectionManager>,
}

impl Link {
    async fn ask<T: FromRedisValue>(&self, asked: &ScriptInvocation<'_>) -> Result<T, ::redis::RedisError> {
        let mut manager = self.manager().clone();
        let answer = asked.invoke_async::<T>(&mut manager).await;
        if answer.is_err()
            && let Ok(anew) = made(&self.client)
        {
            *self.manager() = anew;
        }
        answer
    }

    fn manager(&self) -> MutexGuard<'_, ConnectionManager> {
        self.manager.lock().expect("nothing panics while it holds this lock")
    }
}

fn made(client: &Client) -> Result<ConnectionManager, ::redis::RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

async fn say(link: &Link, name: &str) -> Result<u32, ::redis::RedisError> {
    let script = Script::new(SAY);
    let mut said = script.key(KEY_OF_REPLICAS);
    said.arg(name).arg(3 * SAYS_EVERY.as_secs());
    link.ask(&said).await
}

async fn keep_saying(link: Arc<Link>, name: String, replicas: Arc<AtomicU32>) {
    let mut lately = VecDeque::from([replicas.load(Relaxed)]);
    loop {
        sleep(SAYS_EVERY).await;
        // While it is away, the last number that was seen is the best there is.
        if let Ok(seen) = say(&link, &name).await {
            replicas.store(most_of(&mut lately, seen), Relaxed);
        }
    }
}

/// How many there are, of which `seen` were seen now. Fewer are believed only when they were for as long as one that is gone is
/// remembered: a Redis that came back empty has not heard of all of them yet.
fn most_of(lately: &mut VecDeque<u32>, seen: u32) -> u32 {
    lately.push_back(seen);
    while lately.len() > SAYS_REMEMBERED {
        lately.pop_front();
    }
    lately.iter().copied().max().unwrap_or(1).max(1)
}

fn micros(span: Duration) -> String {
    format!("{:.3}", span.as_secs_f64() * 1e6)
}

fn answer_of(full: u64, micros: u64) -> Answer {
    let wait = Duration::from_micros(micros);
    match usize::try_from(full).unwrap_or(usize::MAX).checked_sub(1) {
        Some(by) => Answer::Full { by, again: wait },
        None => Answer::Taken(wait),
    }
}

#[async_trait]
impl SharedSlots for RedisSlots {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Answer>, SlotsAway> {
        let mut asked = self.take.prepare_invoke();
        for Ask { rows, number } in asks {
            asked.arg(number).arg(rows.len());
            for Row { key, interval, slack } in rows {
                asked.key(format!("{{longshore}}:slots:{key}")).arg(micros(*interval)).arg(micros(*slack));
            }
        }
        let numbers: Vec<u64> = self.link.ask(&asked).await.map_err(|error| SlotsAway(error.to_string()))?;
        if numbers.len() != 2 * asks.len() {
            return Err(SlotsAway(format!("{} numbers for {} questions", numbers.len(), asks.len())));
        }
        Ok(numbers.chunks_exact(2).map(|pair| answer_of(pair[0], pair[1])).collect())
    }

    fn replicas(&self) -> u32 {
        self.replicas.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_replicas_are_believed_when_they_were_for_long() {
        let mut lately = VecDeque::from([1]);
        assert_eq!([4, 4, 1, 2, 3].map(|seen| most_of(&mut lately, seen)), [4, 4, 4, 4, 4]);
        assert_eq!([3, 3, 3].map(|seen| most_of(&mut lately, seen)), [3, 3, 3]);
    }
}
