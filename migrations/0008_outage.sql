-- What is written to find out whether the database takes writes again.
CREATE TABLE probe (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    bytes BYTEA NOT NULL,
    times BIGINT NOT NULL DEFAULT 0
);

-- What the holder of a lease had used of the account's rate budget when it last stored something (JSON), so that the next
-- holder does not begin with a full one.
ALTER TABLE leases ADD COLUMN budget TEXT;
