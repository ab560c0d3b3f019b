-- Replay, and leads that are held until somebody answers.

-- Pushed although the destination only observes: a trial of a few leads.
ALTER TABLE syncs ADD COLUMN let_through BIGINT NOT NULL DEFAULT 0;
-- A person asked for this lead's deal whatever the rules say.
ALTER TABLE syncs ADD COLUMN forced BIGINT NOT NULL DEFAULT 0;
-- An earlier plan of it came to its end, or made its deal or its task.
ALTER TABLE syncs ADD COLUMN brought BIGINT NOT NULL DEFAULT 0;
-- Of a plan before the last replay: kept to be looked at, never pushed.
ALTER TABLE steps ADD COLUMN past BIGINT NOT NULL DEFAULT 0;

-- What is held waits for a person and holds nobody back, so it does not stand in the queue any more.
DROP INDEX syncs_due;
DROP INDEX syncs_queue;
CREATE INDEX syncs_due ON syncs (destination, priority, sequence)
    WHERE state IN ('ready', 'pushing', 'unknown', 'waiting');
CREATE INDEX syncs_queue ON syncs (person, destination, sequence)
    WHERE state IN ('ready', 'pushing', 'unknown', 'waiting');
CREATE INDEX syncs_held ON syncs (destination, sequence) WHERE state = 'held';
