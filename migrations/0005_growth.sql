-- A registry that grows for years: retention, and indexes so that nothing asked all the time walks through a table.

-- When retention removed body, query and headers; NULL while they are kept.
ALTER TABLE deliveries ADD COLUMN emptied_at BIGINT;
-- What retention looks for. A row enters it when it is prepared, so an acknowledgement does not pay for it; a request
-- that could not be read is not in it, because its body is all there is of it.
CREATE INDEX deliveries_bodies ON deliveries (id) WHERE state IN ('prepared', 'refused') AND emptied_at IS NULL;

-- When the version was last known to be the active one. Whatever lead is pinned to it was mapped before, or not long
-- after; so a version goes when its leads are gone, without an index on leads.
ALTER TABLE versions ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;
UPDATE versions SET used_at = COALESCE((SELECT since FROM active_version WHERE id = 1), created_at);

-- When the next sync of a destination is due, and how many stand where.
CREATE INDEX syncs_next ON syncs (destination, next_at, state)
    WHERE state IN ('ready', 'pushing', 'unknown', 'waiting');
-- What waits for somebody may be very much and not be due for hours, and every claim would walk through it: it stands in
-- an index by time instead.
DROP INDEX syncs_due;
CREATE INDEX syncs_due ON syncs (destination, priority, sequence) WHERE state IN ('ready', 'pushing', 'unknown');
CREATE INDEX syncs_waiting ON syncs (destination, next_at) WHERE state = 'waiting';

-- The deals on a contact, for when the CRM no longer has it.
CREATE INDEX links_contact ON links (destination, contact) WHERE contact IS NOT NULL;

-- A desk behind a switchboard has a key of its own, and is found by the number alone too. All others are found by key.
CREATE INDEX identifiers_shown ON identifiers (kind, shown) WHERE kind = 'phone' AND shown <> value;
