-- What is told of destinations and of days: who paused what, and counters by the hour.

-- A destination to which nothing is pushed until somebody says so. The workers of every process look here when they claim.
CREATE TABLE pauses (
    destination TEXT PRIMARY KEY,
    who         TEXT NOT NULL,
    since       BIGINT NOT NULL
);

-- Counters by the hour. Written in the transactions that store what they count, so they are as exact as that; they stay
-- when retention removes what they counted.
CREATE TABLE hourly (
    -- lead: by source. sync, record, took, turn: by destination.
    kind    TEXT NOT NULL,
    -- When it begins.
    hour    BIGINT NOT NULL,
    subject TEXT NOT NULL,
    name    TEXT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (kind, hour, subject, name)
);

-- Chats that a bot cannot write to any more.
CREATE INDEX chats_blocked ON chats (scope) WHERE state = 'blocked';
