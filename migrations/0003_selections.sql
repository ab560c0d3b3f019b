-- What people look at in a large registry, a page at a time.

CREATE INDEX leads_sequence ON leads (sequence);
CREATE INDEX syncs_needs_attention_lead ON syncs (lead) WHERE state = 'needs-attention';
CREATE INDEX leads_needs_attention_id ON leads (id) WHERE state = 'needs-attention';
CREATE INDEX deliveries_unreadable ON deliveries (id) WHERE state = 'unreadable';
