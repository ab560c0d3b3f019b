-- The registry: deliveries → events → leads → syncs → steps, and the people they are from.
--
-- One text for SQLite and PostgreSQL: TEXT ids (UUID v7, so they sort by birth), BIGINT milliseconds since 1970,
-- TEXT holding JSON, BYTEA (SQLite keeps any type name) for raw bodies. There are no foreign keys: rows are only ever
-- removed by retention, children first, and a check on every insert would cost more than it finds.

-- Every text of the workspace that was ever active. A lead is pinned to the version that made it.
CREATE TABLE versions (
    hash       TEXT PRIMARY KEY,
    files      TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- One row: the version that all processes run.
CREATE TABLE active_version (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    hash  TEXT NOT NULL,
    since BIGINT NOT NULL
);

-- Sources that were ever active. A source that is renamed or removed still answers 2xx, because a 404 makes some
-- platforms switch the webhook off.
CREATE TABLE sources (
    name       TEXT PRIMARY KEY,
    preset     TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    since      BIGINT NOT NULL
);

CREATE TABLE deliveries (
    id               TEXT PRIMARY KEY,
    source           TEXT NOT NULL,
    method           TEXT NOT NULL,
    query            TEXT,
    headers          TEXT NOT NULL,
    body             BYTEA NOT NULL,
    received_at      BIGINT NOT NULL,
    -- received, waiting: prepare looks again. prepared, unreadable, refused: final.
    state            TEXT NOT NULL CHECK (state IN ('received', 'waiting', 'prepared', 'unreadable', 'refused')),
    why              TEXT,
    -- SHA-256 (hex) of the path token when nothing readable said what it should be; checked before it is prepared.
    unverified_token TEXT
);
CREATE INDEX deliveries_received ON deliveries (id) WHERE state = 'received';
CREATE INDEX deliveries_waiting ON deliveries (source, id) WHERE state = 'waiting';

-- Which event a key belongs to, when that came, and until when a second one with that key is a redelivery. Both are
-- times of receipt: how late an event is prepared changes nothing.
CREATE TABLE event_keys (
    source TEXT NOT NULL,
    key    TEXT NOT NULL,
    event  TEXT NOT NULL,
    at     BIGINT NOT NULL,
    until  BIGINT NOT NULL,
    PRIMARY KEY (source, key)
);

CREATE TABLE events (
    id            TEXT PRIMARY KEY,
    delivery      TEXT NOT NULL,
    position      BIGINT NOT NULL,
    source        TEXT NOT NULL,
    key           TEXT NOT NULL,
    -- The event that this one repeats; NULL for a first delivery.
    redelivery_of TEXT
);
CREATE INDEX events_delivery ON events (delivery, position);
CREATE INDEX events_redelivery ON events (redelivery_of) WHERE redelivery_of IS NOT NULL;

CREATE TABLE persons (
    id          TEXT PRIMARY KEY,
    created_at  BIGINT NOT NULL,
    -- Persons are never deleted, only merged; the merge says what moved.
    merged_into TEXT
);

CREATE TABLE identifiers (
    kind       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    value      TEXT NOT NULL,
    -- NULL while nobody has it: then it only holds the lock of the transaction that is resolving it.
    person     TEXT,
    -- How to show it and how to search a CRM by it; NULL for the further match keys of the same identifier.
    shown      TEXT,
    proof      TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    seen       BIGINT NOT NULL,
    PRIMARY KEY (kind, scope, value)
);
CREATE INDEX identifiers_person ON identifiers (person);

-- Append-only: who was joined with whom, on what evidence, and what moved, so that it can be undone.
CREATE TABLE merges (
    id          TEXT PRIMARY KEY,
    from_person TEXT NOT NULL,
    into_person TEXT NOT NULL,
    reason      TEXT NOT NULL,
    moved       TEXT NOT NULL,
    at          BIGINT NOT NULL
);

CREATE TABLE leads (
    id          TEXT PRIMARY KEY,
    event       TEXT NOT NULL,
    source      TEXT NOT NULL,
    version     TEXT NOT NULL,
    branch      BIGINT,
    -- Order of the prepare commit.
    sequence    BIGINT NOT NULL,
    person      TEXT,
    -- mapped: its syncs say how it goes on. filtered, needs-attention: it ended before there was anything to sync.
    state       TEXT NOT NULL CHECK (state IN ('mapped', 'filtered', 'needs-attention')),
    why         TEXT,
    lead        TEXT,
    -- Identifiers that disagreed about who this is.
    conflicts   TEXT NOT NULL,
    received_at BIGINT NOT NULL
);
CREATE INDEX leads_event ON leads (event);
CREATE INDEX leads_person ON leads (person, sequence);
CREATE INDEX leads_needs_attention ON leads (sequence) WHERE state = 'needs-attention';

CREATE TABLE syncs (
    id          TEXT PRIMARY KEY,
    lead        TEXT NOT NULL,
    destination TEXT NOT NULL,
    person      TEXT NOT NULL,
    sequence    BIGINT NOT NULL,
    -- 0 live, 1 backfill.
    priority    BIGINT NOT NULL,
    -- Open, looked at again at next_at: ready (to be decided), pushing (a plan is under way), unknown (a step may have
    -- happened), waiting (nobody available), held (mode observe). Final: synced, filtered, needs-attention.
    state       TEXT NOT NULL CHECK (state IN
        ('ready', 'pushing', 'unknown', 'waiting', 'held', 'synced', 'filtered', 'needs-attention')),
    why         TEXT,
    next_at     BIGINT NOT NULL,
    -- Epoch of the lease under which a process has it in its hands; 0 for nobody. An older epoch means nobody.
    claimed     BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    -- The owner picked from a pool; stays when the plan is dropped.
    owner       TEXT,
    -- Reasons of the plan (JSON) and when it was decided.
    reasons     TEXT,
    planned_at  BIGINT,
    -- The sync of the same person that took this kept lead along.
    carried_by  TEXT,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX syncs_lead ON syncs (lead);
CREATE INDEX syncs_person ON syncs (person, destination);
CREATE INDEX syncs_due ON syncs (destination, priority, sequence)
    WHERE state IN ('ready', 'pushing', 'unknown', 'waiting', 'held');
CREATE INDEX syncs_queue ON syncs (person, destination, sequence)
    WHERE state IN ('ready', 'pushing', 'unknown', 'waiting', 'held');
CREATE INDEX syncs_needs_attention ON syncs (sequence) WHERE state = 'needs-attention';

CREATE TABLE steps (
    -- Also the marker in the record that the step makes.
    id       TEXT PRIMARY KEY,
    sync     TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    action   TEXT NOT NULL,
    -- planned: not sent. sent: sent, no outcome stored. unknown: sent, no answer came. done, rejected: final.
    state    TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'unknown', 'done', 'rejected')),
    record   TEXT,
    sent_at  BIGINT,
    ended_at BIGINT,
    why      TEXT
);
CREATE INDEX steps_sync ON steps (sync, position);

-- Whose a CRM record is. One record has one person; it is never adopted silently from another.
CREATE TABLE links (
    destination TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('contact', 'deal')),
    record      TEXT NOT NULL,
    person      TEXT NOT NULL,
    -- Deals only: the contact it is on.
    contact     TEXT,
    -- The step that made it; NULL when it was found.
    step        TEXT,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (destination, kind, record)
);
CREATE INDEX links_person ON links (person, destination, kind);

-- What an owner pool remembers, by destination. `turn` counts picks, so that an older state never overwrites a newer one.
CREATE TABLE pools (
    destination TEXT NOT NULL,
    pool        TEXT NOT NULL,
    turn        BIGINT NOT NULL,
    state       TEXT NOT NULL,
    PRIMARY KEY (destination, pool)
);

-- Who may push to a destination. Every transaction that stores an outcome bumps `beat` where the epoch is its own.
CREATE TABLE leases (
    destination TEXT PRIMARY KEY,
    holder      TEXT NOT NULL,
    epoch       BIGINT NOT NULL,
    beat        BIGINT NOT NULL
);

-- Causes that somebody was told about.
CREATE TABLE alerts (
    cause   TEXT PRIMARY KEY,
    text    TEXT NOT NULL,
    told_at BIGINT NOT NULL
);

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('sequence', 0);
