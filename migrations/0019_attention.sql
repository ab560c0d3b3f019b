-- What needs attention, by cause: a cause is where it is and the word that the JSON of a reason begins with. `{"code":"` is 9
-- characters, and a word is made of these letters, so it ends where cutting them off from the left ends. An index holds only
-- rows that need somebody, so nothing else pays for it; the word comes first, because leads of a place alone are read in
-- another order.
CREATE INDEX syncs_causes ON syncs (
    SUBSTR(why, 10, LENGTH(SUBSTR(why, 10)) - LENGTH(LTRIM(SUBSTR(why, 10), 'abcdefghijklmnopqrstuvwxyz0123456789_'))),
    destination,
    sequence
) WHERE state = 'needs-attention';
CREATE INDEX leads_causes ON leads (
    SUBSTR(why, 10, LENGTH(SUBSTR(why, 10)) - LENGTH(LTRIM(SUBSTR(why, 10), 'abcdefghijklmnopqrstuvwxyz0123456789_'))),
    source,
    sequence
) WHERE state = 'needs-attention';

-- A row of `alerts` is trouble that stands, from when somebody noticed it (told_at) until it is over. Who was told of it is a
-- row for each way to tell: what is to be said there follows from both.
CREATE TABLE alert_messages (
    cause   TEXT NOT NULL,
    -- webhook, telegram, email.
    channel TEXT NOT NULL,
    text    TEXT NOT NULL,
    -- 1: whoever listens there was told of it, and is told when it is over.
    told    BIGINT NOT NULL,
    -- Not before this moment, and how often in vain. Whoever sends it moves it on first, so that no other process does.
    next_at BIGINT NOT NULL,
    tries   BIGINT NOT NULL,
    PRIMARY KEY (cause, channel)
);
INSERT INTO alert_messages (cause, channel, text, told, next_at, tries) SELECT cause, 'webhook', text, 1, 0, 0 FROM alerts;

-- When the last request of a source came that somebody took note of; 0 for none.
ALTER TABLE sources ADD COLUMN seen BIGINT NOT NULL DEFAULT 0;
