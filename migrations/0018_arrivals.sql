-- Deliveries by source, the newest first: what came to a source is looked at while somebody sets it up, and is what an edit of
-- its mapping is rehearsed on. Ids are in the order of receipt. Only for those who leave refused ones out, in these words:
-- whoever looks for one of the rarer states has an index of that state, and must not be led here.

CREATE INDEX deliveries_source ON deliveries (source, id) WHERE state <> 'refused';
