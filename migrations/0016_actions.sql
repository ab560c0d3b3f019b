-- What one of those who work with leadfold did, newest first.
CREATE INDEX actions_who ON actions (who, id);
