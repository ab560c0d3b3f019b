-- Several processes: who lives, and who of them pushes where.

-- A process that runs. It beats about once a second, and one beat renews all of its leases. A row is removed when its
-- process ends, or when another one has watched it without a beat for as long as a lease lives; it never comes back under
-- the same id, so whoever was removed knows that nothing is theirs any more.
CREATE TABLE processes (
    id     TEXT PRIMARY KEY,
    -- Host and process id, for people.
    name   TEXT NOT NULL,
    -- 0 while it only receives.
    pushes BIGINT NOT NULL,
    beat   BIGINT NOT NULL
);

-- A lease whose holder is no row of `processes` may be taken; '' was handed over, or nobody ever had it.
CREATE INDEX leases_holder ON leases (holder);
