-- Chats as ways to reach somebody, what a person is remembered by, and the clicks that brought them.

-- A chat, whether a bot may write there, and what became of the last message to it. Whose it is says `identifiers`; a row
-- without one is of nobody yet.
CREATE TABLE chats (
    scope       TEXT NOT NULL,
    value       TEXT NOT NULL,
    channel     TEXT NOT NULL,
    bot         TEXT NOT NULL,
    bot_name    TEXT,
    link        TEXT,
    state       TEXT NOT NULL CHECK (state IN ('active', 'blocked')),
    -- Of a blocked one.
    why         TEXT,
    -- When the state began, and when somebody last said it; 0 while nobody has.
    since       BIGINT NOT NULL,
    told_at     BIGINT NOT NULL,
    -- When the last event came from it.
    seen        BIGINT NOT NULL,
    -- What became of a message, in the platform's word.
    status      TEXT,
    description TEXT,
    status_at   BIGINT,
    PRIMARY KEY (scope, value)
);

-- What mappings remember of people (JSON), and the lead that said so: when it came, and its place among all leads. Rows stay
-- with the person they were written for; whoever that person became has them too.
CREATE TABLE person_fields (
    person   TEXT NOT NULL,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    at       BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (person, name)
);

-- Whom a click id brought: whoever came with it first. Rows stay as those of person_fields do.
CREATE TABLE clicks (
    click  TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    at     BIGINT NOT NULL
);
CREATE INDEX clicks_person ON clicks (person, at);
