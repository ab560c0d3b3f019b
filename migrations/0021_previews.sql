-- Leads of a cause in the order in which they are replayed, so that looking at the first of them costs no more than they are.
-- The word of a reason is as in 0019; only what needs somebody stands in them.

CREATE INDEX syncs_causes_by_lead ON syncs (
    SUBSTR(why, 10, LENGTH(SUBSTR(why, 10)) - LENGTH(LTRIM(SUBSTR(why, 10), 'abcdefghijklmnopqrstuvwxyz0123456789_'))),
    destination,
    lead
) WHERE state = 'needs-attention';
CREATE INDEX leads_causes_by_id ON leads (
    SUBSTR(why, 10, LENGTH(SUBSTR(why, 10)) - LENGTH(LTRIM(SUBSTR(why, 10), 'abcdefghijklmnopqrstuvwxyz0123456789_'))),
    source,
    id
) WHERE state = 'needs-attention';
