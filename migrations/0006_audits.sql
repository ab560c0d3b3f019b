-- Steps that were looked for after a lost answer, not found, and sent again: looked for once more, long after.

CREATE TABLE audits (
    step        TEXT PRIMARY KEY,
    sync        TEXT NOT NULL,
    destination TEXT NOT NULL,
    -- What was to be written (JSON), until it was looked for: without markers only that tells the record from others.
    action      TEXT,
    kind        TEXT NOT NULL,
    due_at      BIGINT NOT NULL,
    done_at     BIGINT,
    result      TEXT CHECK (result IN ('once', 'none', 'twice', 'cannot_tell')),
    -- The records that were found (JSON list), and what else is to be said.
    records     TEXT,
    note        TEXT
);
CREATE INDEX audits_due ON audits (destination, due_at) WHERE done_at IS NULL;
CREATE INDEX audits_old ON audits (destination, due_at);
CREATE INDEX audits_sync ON audits (sync);
