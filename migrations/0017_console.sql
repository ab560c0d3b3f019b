-- What people look for in a large registry.

-- Words of the names of leads, as they are compared (Latin letters under one transliteration), and the place of the lead in
-- the order of all. Bytes, because text sorts otherwise in each database, and the beginning of a word is a range.
CREATE TABLE lead_names (
    word     BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (word, sequence)
);
CREATE INDEX lead_names_sequence ON lead_names (sequence);

-- Leads by source, by time of receipt, by destination. Of expressions, which only the list asks for: SQLite knows nothing of
-- how rows are spread, and would take an index on the columns for statements that have a better one.
CREATE INDEX leads_by_source ON leads ((source || ''), (received_at + 0), sequence);
CREATE INDEX leads_by_receipt ON leads ((received_at + 0), sequence);
CREATE INDEX syncs_by_destination ON syncs ((destination || ''), sequence);
-- Leads by where they stand, in their order. That most are synced needs no index.
CREATE INDEX leads_filtered ON leads (sequence) WHERE state = 'filtered';
CREATE INDEX syncs_filtered ON syncs (sequence) WHERE state = 'filtered';
CREATE INDEX syncs_open ON syncs (sequence) WHERE state IN ('ready', 'pushing', 'unknown', 'waiting');
CREATE INDEX syncs_held_in_order ON syncs (sequence) WHERE state = 'held';

-- Deliveries that became no lead.
CREATE INDEX deliveries_waiting_in_order ON deliveries (id) WHERE state = 'waiting';
CREATE INDEX deliveries_refused ON deliveries (id) WHERE state = 'refused';
CREATE INDEX events_repeats ON events (delivery) WHERE redelivery_of IS NOT NULL;
