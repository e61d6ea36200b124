//! What happens to messages, as statements on an open transaction. Nothing here waits or knows threads.
//!
//! A lease is `SEQUENCE-UUID`: the sequence finds the row, the whole text must stand in it.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::domain::settlement::{DeadLetter, Settlement};
use crate::ports::clock::Clock;
use crate::ports::queue::{Attributes, Delivery, Depth, Lease, Message, Outgoing};

/// How many delays and leases are ended in one step, so that no transaction is long.
const DUE_MAX: i64 = 500;

/// The time of day in milliseconds, as all processes of the machine see it.
pub(super) fn now() -> i64 {
    Clock::System.now().as_millisecond()
}

fn later(now: i64, delay: Duration) -> i64 {
    now.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn to_json(attributes: &Attributes) -> rusqlite::Result<String> {
    serde_json::to_string(attributes).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn from_json(text: &str) -> rusqlite::Result<Attributes> {
    let wrong = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    };
    serde_json::from_str(text).map_err(wrong)
}

/// Puts `messages` on `queue`.
pub(super) fn send(connection: &Connection, queue: &str, messages: &[Outgoing]) -> rusqlite::Result<()> {
    let now = now();
    let mut content = connection
        .prepare_cached("INSERT INTO contents (id, team, sent_at, attributes, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for message in messages {
        let team = message.group.as_deref().unwrap_or_default();
        let attributes = to_json(&message.attributes)?;
        let sequence = content.insert(params![message.id, team, now, attributes, &message.body[..]])?;
        place(connection, queue, team, sequence)?;
    }
    Ok(())
}

/// Makes a stored content a visible message that nobody has worked on.
pub(super) fn place(connection: &Connection, queue: &str, team: &str, sequence: i64) -> rusqlite::Result<()> {
    let mut place = connection
        .prepare_cached("INSERT INTO messages (sequence, queue, team, state) VALUES (?1, ?2, ?3, 'visible')")?;
    place.execute(params![sequence, queue, team])?;
    Ok(())
}

/// When something can be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Now.
    Ready,
    /// After this span, when a delay or a lease ends.
    In(Duration),
    /// Only after something was sent.
    Never,
}

/// Looks when `queue` has something to give.
pub(super) fn next(connection: &Connection, queue: &str) -> rusqlite::Result<Next> {
    let mut look = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM lanes WHERE queue = ?1 AND visible > 0),
                (SELECT min(due_at) FROM messages WHERE queue = ?1 AND due_at IS NOT NULL)",
    )?;
    let (visible, due): (bool, Option<i64>) = look.query_row([queue], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match due.map(|due| u64::try_from(due.saturating_sub(now())).unwrap_or(0)) {
        _ if visible => Next::Ready,
        Some(0) => Next::Ready,
        Some(left) => Next::In(Duration::from_millis(left)),
        None => Next::Never,
    })
}

/// Counts what is visible, leased, or comes due within `span`.
pub(super) fn due(connection: &Connection, queue: &str, span: Duration) -> rusqlite::Result<u64> {
    let mut due = connection
        .prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1 AND (state <> 'delayed' OR due_at <= ?2)")?;
    let count: i64 = due.query_row(params![queue, later(now(), span)], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Each group of `queue` with how many messages it has and the body of its oldest one.
pub(super) fn groups(connection: &Connection, queue: &str) -> rusqlite::Result<Vec<(u64, Bytes)>> {
    let mut groups = connection.prepare_cached(
        "SELECT visible + delayed + leased,
                (SELECT body FROM contents WHERE sequence =
                    (SELECT min(sequence) FROM messages WHERE queue = lanes.queue AND messages.team = lanes.team))
         FROM lanes WHERE queue = ?1",
    )?;
    let rows = groups.query_map([queue], |row| {
        let (count, body): (i64, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
        Ok((u64::try_from(count).unwrap_or(0), Bytes::from(body.unwrap_or_default())))
    })?;
    rows.collect()
}

/// Makes visible what has waited long enough or whose lease has run out.
fn come_due(connection: &Connection, queue: &str, now: i64) -> rusqlite::Result<()> {
    let mut due = connection.prepare_cached(
        "UPDATE messages SET unfinished = unfinished + (state = 'leased'), state = 'visible', due_at = NULL, lease = NULL
         WHERE sequence IN (SELECT sequence FROM messages WHERE queue = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3)",
    )?;
    due.execute(params![queue, now, DUE_MAX])?;
    Ok(())
}

/// Leases up to `room` messages, one after the other from the team that has the fewest leased ones; among equals, from the
/// one that was served least lately. Within a team the oldest comes first.
pub(super) fn take(
    connection: &Connection, queue: &str, room: usize, lease: Duration,
) -> rusqlite::Result<Vec<Delivery>> {
    let now = now();
    come_due(connection, queue, now)?;
    let until = later(now, lease);
    let mut taken = Vec::new();
    while taken.len() < room {
        let Some(team) = next_team(connection, queue, taken.len())? else {
            break;
        };
        taken.push(take_one(connection, queue, &team, until)?);
    }
    Ok(taken)
}

/// The next team's name; it goes to the end of the line.
fn next_team(connection: &Connection, queue: &str, turn: usize) -> rusqlite::Result<Option<String>> {
    let mut next = connection
        .prepare_cached("SELECT team FROM lanes WHERE queue = ?1 AND visible > 0 ORDER BY leased, served_at LIMIT 1")?;
    let team: Option<String> = next.query_row([queue], |row| row.get(0)).optional()?;
    if let Some(team) = &team {
        // Two calls may come within one millisecond, which our clock is cut to, and two turns within one microsecond.
        let served_at = Timestamp::now().as_microsecond().saturating_add(i64::try_from(turn).unwrap_or(0));
        let mut serve = connection.prepare_cached("UPDATE lanes SET served_at = ?3 WHERE queue = ?1 AND team = ?2")?;
        serve.execute(params![queue, team, served_at])?;
    }
    Ok(team)
}

fn take_one(connection: &Connection, queue: &str, team: &str, until: i64) -> rusqlite::Result<Delivery> {
    let mut oldest = connection.prepare_cached(
        "SELECT sequence, attempts, unfinished FROM messages
         WHERE queue = ?1 AND team = ?2 AND state = 'visible' ORDER BY sequence LIMIT 1",
    )?;
    let found = oldest.query_row(params![queue, team], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (sequence, attempts, unfinished): (i64, u32, u32) = found;
    let lease = format!("{sequence}-{}", Uuid::new_v4());
    let mut hold = connection
        .prepare_cached("UPDATE messages SET state = 'leased', due_at = ?2, lease = ?3 WHERE sequence = ?1")?;
    hold.execute(params![sequence, until, lease])?;
    let mut content =
        connection.prepare_cached("SELECT id, sent_at, attributes, body FROM contents WHERE sequence = ?1")?;
    content.query_row([sequence], |row| {
        Ok(Delivery {
            lease: Lease(lease),
            message: Message {
                id: Some(row.get(0)?),
                body: Bytes::from(row.get::<_, Vec<u8>>(3)?),
                attributes: from_json(row.get_ref(2)?.as_str()?)?,
            },
            attempts,
            unfinished,
            sent_at: Timestamp::from_millisecond(row.get(1)?).ok(),
        })
    })
}

/// The row of a lease that is still held at `now`.
fn held(connection: &Connection, queue: &str, lease: &Lease, now: i64) -> rusqlite::Result<Option<i64>> {
    let Some(sequence) = lease.0.split_once('-').and_then(|(sequence, _)| sequence.parse::<i64>().ok()) else {
        return Ok(None);
    };
    let mut held = connection.prepare_cached(
        "SELECT sequence FROM messages WHERE sequence = ?1 AND queue = ?2 AND lease = ?3 AND due_at > ?4",
    )?;
    held.query_row(params![sequence, queue, lease.0, now], |row| row.get(0)).optional()
}

/// Lets leases run anew for `length` and returns those that are lost.
pub(super) fn extend(
    connection: &Connection, queue: &str, leases: &[Lease], length: Duration,
) -> rusqlite::Result<Vec<Lease>> {
    let now = now();
    let mut lost = Vec::new();
    for lease in leases {
        let Some(sequence) = held(connection, queue, lease, now)? else {
            lost.push(lease.clone());
            continue;
        };
        let mut extend = connection.prepare_cached("UPDATE messages SET due_at = ?2 WHERE sequence = ?1")?;
        extend.execute(params![sequence, later(now, length)])?;
    }
    Ok(lost)
}

/// Settles a delivery; false if its lease is lost.
pub(super) fn settle(
    connection: &Connection, queue: &str, lease: &Lease, settlement: &Settlement,
) -> rusqlite::Result<bool> {
    let now = now();
    let Some(sequence) = held(connection, queue, lease, now)? else {
        return Ok(false);
    };
    match settlement {
        Settlement::Done => {
            remove(connection, sequence)?;
            forget(connection, sequence)?;
        }
        Settlement::Retry { attempts, delay } => {
            let mut count =
                connection.prepare_cached("UPDATE messages SET attempts = ?2, unfinished = 0 WHERE sequence = ?1")?;
            count.execute(params![sequence, attempts])?;
            give_back(connection, sequence, now, *delay)?;
        }
        Settlement::HandBack { delay } => {
            // It is no first delivery any more, and becomes no more suspicious than that.
            let mut mark =
                connection.prepare_cached("UPDATE messages SET unfinished = max(unfinished, 1) WHERE sequence = ?1")?;
            mark.execute([sequence])?;
            give_back(connection, sequence, now, *delay)?;
        }
        Settlement::PutOff { delay } => give_back(connection, sequence, now, *delay)?,
        Settlement::DeadLetter(letter) => bury(connection, queue, sequence, now, letter)?,
    }
    Ok(true)
}

fn give_back(connection: &Connection, sequence: i64, now: i64, delay: Duration) -> rusqlite::Result<()> {
    let mut back = connection.prepare_cached(
        "UPDATE messages SET state = iif(?2 IS NULL, 'visible', 'delayed'), due_at = ?2, lease = NULL WHERE sequence = ?1",
    )?;
    let due_at = (!delay.is_zero()).then(|| later(now, delay));
    back.execute(params![sequence, due_at])?;
    Ok(())
}

/// Gives back deliveries that nobody has seen, as if they had never been leased.
pub(super) fn release(connection: &Connection, queue: &str, leases: &[Lease]) -> rusqlite::Result<()> {
    let now = now();
    for lease in leases {
        if let Some(sequence) = held(connection, queue, lease, now)? {
            give_back(connection, sequence, now, Duration::ZERO)?;
        }
    }
    Ok(())
}

fn bury(connection: &Connection, queue: &str, sequence: i64, now: i64, letter: &DeadLetter) -> rusqlite::Result<()> {
    let mut bury = connection.prepare_cached(
        "INSERT INTO dead (sequence, queue, reason, detail, attempts, failed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    bury.execute(params![sequence, queue, letter.reason.as_str(), letter.detail, letter.attempts, now])?;
    remove(connection, sequence)
}

fn remove(connection: &Connection, sequence: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM messages WHERE sequence = ?1")?.execute([sequence])?;
    Ok(())
}

/// Deletes what was sent, for good.
pub(super) fn forget(connection: &Connection, sequence: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM contents WHERE sequence = ?1")?.execute([sequence])?;
    Ok(())
}

/// Counts the messages; what is due counts as visible already.
pub(super) fn depth(connection: &Connection, queue: &str) -> rusqlite::Result<Depth> {
    // One statement sees one state of the database.
    let mut count = connection.prepare_cached(
        "WITH due AS (SELECT count(*) FILTER (WHERE state = 'delayed') AS delayed,
                             count(*) FILTER (WHERE state = 'leased') AS leased
                      FROM messages WHERE queue = ?1 AND due_at <= ?2),
              lane AS (SELECT coalesce(sum(visible), 0) AS visible, coalesce(sum(delayed), 0) AS delayed,
                              coalesce(sum(leased), 0) AS leased
                       FROM lanes WHERE queue = ?1)
         SELECT lane.visible + due.delayed + due.leased, lane.leased - due.leased, lane.delayed - due.delayed
         FROM lane, due",
    )?;
    count.query_row(params![queue, now()], |row| {
        let count = |column| row.get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
        Ok(Depth { visible: count(0)?, leased: count(1)?, delayed: count(2)? })
    })
}

/// When the oldest visible message was sent.
pub(super) fn oldest(connection: &Connection, queue: &str) -> rusqlite::Result<Option<i64>> {
    let mut oldest = connection.prepare_cached(
        "SELECT min(sent_at) FROM contents WHERE sequence IN (
             SELECT (SELECT min(sequence) FROM messages
                     WHERE queue = lanes.queue AND team = lanes.team AND state = 'visible')
             FROM lanes WHERE queue = ?1 AND visible > 0)",
    )?;
    oldest.query_row([queue], |row| row.get(0))
}
