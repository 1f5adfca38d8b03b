-- The ledger, schema 1. Released: never edited, only followed by another file.
--
-- Times end in `_us` (microseconds since 1970, UTC) or are minutes since 1970. Everything repeated is a number.
-- Difficulties are NUMERIC, so that whole ones take two or three bytes instead of eight.

-- One row: what the ledger knows about itself.
CREATE TABLE meta (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    identity          INTEGER NOT NULL,           -- random: tells this ledger from any other
    created_us        INTEGER NOT NULL,
    created_by        TEXT    NOT NULL,           -- version of the program
    batch             INTEGER NOT NULL DEFAULT 0, -- number of the last batch written
    share_key         INTEGER NOT NULL DEFAULT 0, -- greatest share key ever given
    shares_written    INTEGER NOT NULL DEFAULT 0,
    shares_pruned     INTEGER NOT NULL DEFAULT 0,
    pruned_through    INTEGER NOT NULL DEFAULT 0, -- greatest share key pruned
    minutes_pruned    INTEGER NOT NULL DEFAULT 0, -- last minute pruned from the rollups
    sessions_reserved INTEGER NOT NULL DEFAULT 0  -- session numbers up to this one may be in use
) STRICT;

-- Reject reasons, user agents, reasons of closing, kinds of events.
CREATE TABLE texts (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO texts (id, text) VALUES (0, ''), (1, '(other)');

CREATE TABLE pools (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    url           TEXT    NOT NULL DEFAULT '',
    first_seen_us INTEGER NOT NULL,
    last_seen_us  INTEGER NOT NULL
) STRICT;
INSERT INTO pools (id, name, first_seen_us, last_seen_us) VALUES (0, '(none)', 0, 0);

-- The inventory: one row per name for ever, so that a miner that is off stays visible.
CREATE TABLE workers (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    first_seen_us INTEGER NOT NULL,
    last_seen_us  INTEGER NOT NULL,               -- exact at authorize and close, else to the minute of a share
    user_agent    INTEGER NOT NULL DEFAULT 0,     -- texts
    address       TEXT    NOT NULL DEFAULT ''
) STRICT;
INSERT INTO workers (id, name, first_seen_us, last_seen_us) VALUES (0, '(unknown)', 0, 0);
CREATE INDEX workers_by_last_seen ON workers (last_seen_us);

CREATE TABLE sessions (
    id             INTEGER PRIMARY KEY,
    shard          INTEGER NOT NULL,
    worker         INTEGER NOT NULL DEFAULT 0,    -- first name authorised
    pool           INTEGER NOT NULL DEFAULT 0,    -- last pool
    address        TEXT    NOT NULL,
    user_agent     INTEGER NOT NULL DEFAULT 0,    -- texts
    opened_us      INTEGER NOT NULL,
    closed_us      INTEGER,                       -- NULL while open
    close_reason   INTEGER,                       -- texts
    from_miner     INTEGER NOT NULL DEFAULT 0,    -- bytes
    to_miner       INTEGER NOT NULL DEFAULT 0,
    from_pool      INTEGER NOT NULL DEFAULT 0,
    to_pool        INTEGER NOT NULL DEFAULT 0,
    accepted       INTEGER NOT NULL DEFAULT 0,    -- shares
    rejected       INTEGER NOT NULL DEFAULT 0,
    refused_here   INTEGER NOT NULL DEFAULT 0,
    unanswered     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX sessions_open ON sessions (opened_us) WHERE closed_us IS NULL;

-- One row per share. The key is the time of its verdict (or one more than the key before it), so rows only ever go to
-- the end. No index has all rows: history per worker comes from worker_minutes.
CREATE TABLE shares (
    id               INTEGER PRIMARY KEY,
    worker           INTEGER NOT NULL,
    pool             INTEGER NOT NULL,
    session          INTEGER NOT NULL,
    job              INTEGER NOT NULL,
    difficulty       NUMERIC NOT NULL,            -- assigned
    share_difficulty NUMERIC,                     -- reached; NULL if not checked; whole from 1000 up, which is shorter
    latency_us       INTEGER NOT NULL,
    outcome          INTEGER NOT NULL,            -- 0 accepted, 1 rejected, 2 refused here, 3 unanswered
    class            INTEGER NOT NULL,            -- 0 none, 1 stale, 2 duplicate, 3 low difficulty, 4 unauthorized,
                                                  -- 5 not subscribed, 6 bad time, 7 bad version, 8 other
    code             INTEGER NOT NULL,            -- as on the wire, 0 none
    reason           INTEGER NOT NULL,            -- texts
    block_candidate  INTEGER NOT NULL
);

-- The few rows that were not accepted, by time, with all that is asked of them. Accepted rows cost nothing here.
CREATE INDEX shares_not_accepted ON shares (id, outcome, class, pool, reason) WHERE outcome <> 0;

-- What the shares of one worker at one pool in one minute add up to: rows and gaps. For years.
CREATE TABLE worker_minutes (
    minute                INTEGER NOT NULL,
    worker                INTEGER NOT NULL,
    pool                  INTEGER NOT NULL,
    accepted              INTEGER NOT NULL,
    stale                 INTEGER NOT NULL,       -- rejected by the pool, by class, from here …
    duplicate             INTEGER NOT NULL,
    low_difficulty        INTEGER NOT NULL,
    unauthorized          INTEGER NOT NULL,
    not_subscribed        INTEGER NOT NULL,
    bad_time              INTEGER NOT NULL,
    bad_version           INTEGER NOT NULL,
    other                 INTEGER NOT NULL,       -- … to here
    refused_here          INTEGER NOT NULL,
    unanswered            INTEGER NOT NULL,
    gapped                INTEGER NOT NULL,       -- of all these: counted in a gap, without a row in shares
    difficulty_accepted   NUMERIC NOT NULL,       -- sums of the assigned difficulty
    difficulty_rejected   NUMERIC NOT NULL,       -- rejected or refused here
    difficulty_unanswered NUMERIC NOT NULL,
    latency               BLOB    NOT NULL,       -- pairs of bucket (one byte) and count (LEB128)
    rejected  INTEGER GENERATED ALWAYS AS (stale + duplicate + low_difficulty + unauthorized + not_subscribed + bad_time
                                           + bad_version + other) VIRTUAL,
    submitted INTEGER GENERATED ALWAYS AS (accepted + stale + duplicate + low_difficulty + unauthorized + not_subscribed
                                           + bad_time + bad_version + other + refused_here + unanswered) VIRTUAL,
    PRIMARY KEY (minute, worker, pool)
) WITHOUT ROWID;

-- The same for all workers of a pool.
CREATE TABLE pool_minutes (
    minute                INTEGER NOT NULL,
    pool                  INTEGER NOT NULL,
    accepted              INTEGER NOT NULL,
    stale                 INTEGER NOT NULL,
    duplicate             INTEGER NOT NULL,
    low_difficulty        INTEGER NOT NULL,
    unauthorized          INTEGER NOT NULL,
    not_subscribed        INTEGER NOT NULL,
    bad_time              INTEGER NOT NULL,
    bad_version           INTEGER NOT NULL,
    other                 INTEGER NOT NULL,
    refused_here          INTEGER NOT NULL,
    unanswered            INTEGER NOT NULL,
    gapped                INTEGER NOT NULL,
    difficulty_accepted   NUMERIC NOT NULL,
    difficulty_rejected   NUMERIC NOT NULL,
    difficulty_unanswered NUMERIC NOT NULL,
    latency               BLOB    NOT NULL,
    rejected  INTEGER GENERATED ALWAYS AS (stale + duplicate + low_difficulty + unauthorized + not_subscribed + bad_time
                                           + bad_version + other) VIRTUAL,
    submitted INTEGER GENERATED ALWAYS AS (accepted + stale + duplicate + low_difficulty + unauthorized + not_subscribed
                                           + bad_time + bad_version + other + refused_here + unanswered) VIRTUAL,
    PRIMARY KEY (minute, pool)
) WITHOUT ROWID;

-- Shares and notes that found no room on their way: exact counts instead of rows.
CREATE TABLE gaps (
    id               INTEGER PRIMARY KEY,
    from_us          INTEGER NOT NULL,            -- first and last verdict in it
    to_us            INTEGER NOT NULL,
    written_us       INTEGER NOT NULL,
    accepted         INTEGER NOT NULL,
    rejected         INTEGER NOT NULL,
    refused_here     INTEGER NOT NULL,
    unanswered       INTEGER NOT NULL,
    block_candidates INTEGER NOT NULL,
    unattributed     INTEGER NOT NULL,            -- of the shares: counted for '(unknown)' at '(none)' in the rollups
    notes_lost       INTEGER NOT NULL             -- sessions, events, sightings
) STRICT;

-- Audit: who or what changed the state of the proxy, and why. The key is the time, or one more than the last.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    kind    INTEGER NOT NULL,                     -- texts
    actor   TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;

-- Blocks found and what is owed for them.
CREATE TABLE blocks (
    id          INTEGER PRIMARY KEY,
    found_us    INTEGER NOT NULL,
    height      INTEGER NOT NULL,
    hash        BLOB    NOT NULL UNIQUE,          -- 32 bytes, as displayed
    worker      INTEGER NOT NULL,
    pool        INTEGER NOT NULL,
    share       INTEGER,                          -- shares
    reward_sats INTEGER NOT NULL,
    state       TEXT    NOT NULL                  -- submitted, confirmed, orphaned, refused
) STRICT;
CREATE TABLE payouts (
    id          INTEGER PRIMARY KEY,
    block       INTEGER NOT NULL,                 -- blocks
    worker      INTEGER NOT NULL,
    amount_sats INTEGER NOT NULL,
    address     TEXT    NOT NULL,
    transaction_id BLOB,                          -- NULL until paid
    paid_us     INTEGER
) STRICT;
CREATE INDEX payouts_by_block ON payouts (block);

-- For people with a SQLite shell.
CREATE VIEW shares_readable AS
    SELECT strftime('%Y-%m-%dT%H:%M:%S', shares.id / 1000000, 'unixepoch') || printf('.%06dZ', shares.id % 1000000) AS time,
           workers.name AS worker, pools.name AS pool, session, job, difficulty, share_difficulty, latency_us,
           CASE outcome WHEN 0 THEN 'accepted' WHEN 1 THEN 'rejected' WHEN 2 THEN 'refused_here' ELSE 'unanswered' END AS outcome,
           code, texts.text AS reason, block_candidate
      FROM shares
      LEFT JOIN workers ON workers.id = shares.worker
      LEFT JOIN pools ON pools.id = shares.pool
      LEFT JOIN texts ON texts.id = shares.reason;
