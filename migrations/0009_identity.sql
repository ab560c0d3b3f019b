-- Who is who: what is known of people and of the identifiers that they share, and what a person corrected by hand.

-- The names they gave, as they are compared (JSON), and how many people were merged into them.
ALTER TABLE persons ADD COLUMN names TEXT;
ALTER TABLE persons ADD COLUMN merges BIGINT NOT NULL DEFAULT 0;

-- The clearly different people that were seen with this value (JSON); NULL for none yet.
ALTER TABLE identifiers ADD COLUMN users TEXT;

-- Into whom somebody was merged, and who into them.
CREATE INDEX merges_from ON merges (from_person, id);
CREATE INDEX merges_into ON merges (into_person, id);

-- Who uses a shared value beside the one whose it is.
CREATE TABLE holders (
    kind   TEXT NOT NULL,
    scope  TEXT NOT NULL,
    value  TEXT NOT NULL,
    person TEXT NOT NULL,
    since  BIGINT NOT NULL,
    PRIMARY KEY (kind, scope, value, person)
);
CREATE INDEX holders_person ON holders (person);

-- Why this lead is this person's (JSON: rule, evidence, version of the rules). Written with the lead; a CRM record that says
-- later that it is another's is added.
ALTER TABLE leads ADD COLUMN decision TEXT;

-- Pairs that a person said are two people, the smaller id first. Nothing joins them again.
CREATE TABLE apart (
    one   TEXT NOT NULL,
    other TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (one, other)
);
CREATE INDEX apart_other ON apart (other);

-- Pairs that may be one human, the smaller id first, until somebody says or a merge settles it.
CREATE TABLE possible_duplicates (
    one   TEXT NOT NULL,
    other TEXT NOT NULL,
    -- The lead that showed it.
    lead  TEXT NOT NULL,
    at    BIGINT NOT NULL,
    PRIMARY KEY (one, other)
);
CREATE INDEX possible_duplicates_other ON possible_duplicates (other);
CREATE INDEX possible_duplicates_at ON possible_duplicates (at, one, other);

-- Append-only: what a person decided about people: merge, split, same, not_same, erase.
CREATE TABLE corrections (
    id     TEXT PRIMARY KEY,
    kind   TEXT NOT NULL CHECK (kind IN ('merge', 'split', 'same', 'not_same', 'erase')),
    one    TEXT NOT NULL,
    other  TEXT,
    -- The merge that was made or undone.
    merge  TEXT,
    -- Who said so, and why, in their words.
    author TEXT,
    note   TEXT,
    at     BIGINT NOT NULL
);
CREATE INDEX corrections_merge ON corrections (merge) WHERE merge IS NOT NULL;

-- Records that CRMs still had of somebody whose data was erased here.
CREATE TABLE erased_records (
    person      TEXT NOT NULL,
    destination TEXT NOT NULL,
    kind        TEXT NOT NULL,
    record      TEXT NOT NULL,
    PRIMARY KEY (person, destination, kind, record)
);

-- The step that asks somebody to merge this contact into another of the same human; NULL while nothing in the CRM does.
ALTER TABLE links ADD COLUMN told TEXT;
