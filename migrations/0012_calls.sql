-- Bots that are called for a lead, once the CRM has come so far.

-- The CRMs that are waited for, and the calls to come, each with the id that its sync will have (JSON). NULL for none.
ALTER TABLE leads ADD COLUMN afterwards TEXT;

-- What the CRM had when the lead was decided (JSON), kept where a call may ask for it.
ALTER TABLE syncs ADD COLUMN found TEXT;
