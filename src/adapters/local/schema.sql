-- One database for every embedded queue of a machine, its dead letters and its events. Times are milliseconds since 1970.

-- What was sent, never changed. A message and its dead letter are the same row here, so neither way copies a body.
CREATE TABLE contents (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL,
    team       TEXT NOT NULL,
    sent_at    INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    body       BLOB NOT NULL
) STRICT;

-- Where a message stands. due_at is when a delay or a lease ends.
CREATE TABLE messages (
    sequence   INTEGER PRIMARY KEY,
    queue      TEXT NOT NULL,
    team       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('visible', 'delayed', 'leased')),
    due_at     INTEGER,
    lease      TEXT,
    attempts   INTEGER NOT NULL DEFAULT 0,
    unfinished INTEGER NOT NULL DEFAULT 0,
    CHECK ((due_at IS NULL) = (state = 'visible')),
    CHECK ((lease IS NULL) = (state <> 'leased'))
) STRICT;
CREATE INDEX visible_messages ON messages (queue, team, sequence) WHERE state = 'visible';
CREATE INDEX due_messages ON messages (queue, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE dead (
    sequence  INTEGER PRIMARY KEY,
    queue     TEXT NOT NULL,
    reason    TEXT NOT NULL,
    detail    TEXT NOT NULL,
    attempts  INTEGER NOT NULL,
    failed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_by_queue ON dead (queue, failed_at, sequence);

-- Each team's counts in each queue, kept by the triggers below; the next message is the next lane's oldest one.
CREATE TABLE lanes (
    queue     TEXT NOT NULL,
    team      TEXT NOT NULL,
    visible   INTEGER NOT NULL,
    delayed   INTEGER NOT NULL,
    leased    INTEGER NOT NULL,
    served_at INTEGER NOT NULL,
    PRIMARY KEY (queue, team)
) STRICT, WITHOUT ROWID;
CREATE INDEX next_lane ON lanes (queue, leased, served_at) WHERE visible > 0;

CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
    INSERT INTO lanes (queue, team, visible, delayed, leased, served_at)
    VALUES (new.queue, new.team, new.state = 'visible', new.state = 'delayed', new.state = 'leased',
            -- A new lane waits behind those that have waited longer. The unit is that of serving: microseconds.
            CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    ON CONFLICT DO UPDATE SET visible = visible + excluded.visible,
                              delayed = delayed + excluded.delayed,
                              leased = leased + excluded.leased;
END;
CREATE TRIGGER message_moved AFTER UPDATE OF state ON messages WHEN old.state <> new.state BEGIN
    UPDATE lanes SET visible = visible + (new.state = 'visible') - (old.state = 'visible'),
                     delayed = delayed + (new.state = 'delayed') - (old.state = 'delayed'),
                     leased = leased + (new.state = 'leased') - (old.state = 'leased')
    WHERE queue = new.queue AND team = new.team;
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
    UPDATE lanes SET visible = visible - (old.state = 'visible'),
                     delayed = delayed - (old.state = 'delayed'),
                     leased = leased - (old.state = 'leased')
    WHERE queue = old.queue AND team = old.team;
    DELETE FROM lanes
    WHERE queue = old.queue AND team = old.team AND visible = 0 AND delayed = 0 AND leased = 0;
END;

CREATE TABLE events (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    team        TEXT NOT NULL,
    body        BLOB NOT NULL,
    traceparent TEXT,
    stored_at   INTEGER NOT NULL
) STRICT;
