-- Deliveries by source, the newest first: what came to a source is looked at while somebody sets it up, and is what an edit of
-- its mapping is rehearsed on. Ids are in the order of receipt.

CREATE INDEX deliveries_source ON deliveries (source, id);
