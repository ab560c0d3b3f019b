-- Postbacks: what products report of people whom they know by a click id.

-- What became of a postback beside its event and its lead. It is kept as long as its delivery.
CREATE TABLE postbacks (
    delivery    TEXT PRIMARY KEY,
    source      TEXT NOT NULL,
    click       TEXT NOT NULL,
    -- What happened, lower case.
    name        TEXT NOT NULL,
    key         TEXT NOT NULL,
    key_until   BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    -- How long it waits for somebody with its click id.
    until       BIGINT NOT NULL,
    -- Version of the workspace that read it.
    version     TEXT NOT NULL,
    -- arrived: its turn comes, in the order of arrival. waiting: nobody has its click id. counted: it has its ordinal.
    -- repeat: dropped as the same again. uncounted: a person said that it was one. ended: nobody came with its click id.
    state       TEXT NOT NULL CHECK (state IN ('arrived', 'waiting', 'counted', 'repeat', 'uncounted', 'ended')),
    event       TEXT,
    lead        TEXT,
    -- Who came with the click id. Rows stay with them, whoever they become: so undoing a merge undoes what it added up.
    person      TEXT,
    ordinal     BIGINT
);
CREATE INDEX postbacks_arrived ON postbacks (delivery) WHERE state = 'arrived';
CREATE INDEX postbacks_click ON postbacks (click, state);
CREATE INDEX postbacks_until ON postbacks (until) WHERE state = 'waiting';
CREATE INDEX postbacks_source ON postbacks (source) WHERE state = 'waiting';
CREATE INDEX postbacks_state ON postbacks (state, delivery) WHERE state IN ('waiting', 'repeat', 'uncounted');
CREATE INDEX postbacks_event ON postbacks (event) WHERE event IS NOT NULL;
CREATE INDEX postbacks_lead ON postbacks (lead) WHERE lead IS NOT NULL;
CREATE INDEX postbacks_person ON postbacks (person, name, ordinal) WHERE person IS NOT NULL;

-- How many of a person's events of a name are counted, and the highest ordinal that one was given: both outlive the
-- postbacks, which retention removes. Rows stay with the person, as those of postbacks do.
CREATE TABLE postback_counts (
    person  TEXT NOT NULL,
    name    TEXT NOT NULL,
    counted BIGINT NOT NULL,
    highest BIGINT NOT NULL,
    PRIMARY KEY (person, name)
);

-- A click id that somebody came with, whose waiting postbacks nobody has looked for yet.
ALTER TABLE clicks ADD COLUMN fresh BIGINT NOT NULL DEFAULT 1;
CREATE INDEX clicks_fresh ON clicks (click) WHERE fresh = 1;

-- A delivery that waits as a postback does not wait for its mapping.
ALTER TABLE deliveries ADD COLUMN postback BIGINT NOT NULL DEFAULT 0;
DROP INDEX deliveries_waiting;
CREATE INDEX deliveries_waiting ON deliveries (source, id) WHERE state = 'waiting' AND postback = 0;

-- Whoever counts locks this row: ordinals are given in the order of arrival, by one at a time.
INSERT INTO counters (name, value) VALUES ('postbacks', 0);
