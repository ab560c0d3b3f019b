-- Links between people whom a bot knows and users of a web site, and one-time tokens in links into bots. Nothing that was
-- given out stands here: only hashes of it.

CREATE TABLE links_issued (
    -- SHA-256 (hex) of the public id.
    id           TEXT PRIMARY KEY,
    -- Whose user ids it binds.
    namespace    TEXT NOT NULL,
    -- The chat that it was sent to. Whose that is say the identifiers.
    chat_scope   TEXT NOT NULL,
    chat         TEXT NOT NULL,
    -- proven: its PIN was right, and something is left to settle. used, ended: final.
    state        TEXT NOT NULL CHECK (state IN ('open', 'proven', 'used', 'ended')),
    needs_pin    BIGINT NOT NULL,
    -- SHA-256 (hex) of the PIN together with the public id, without which nobody can try PINs; NULL once it is worth nothing.
    pin          TEXT,
    pin_until    BIGINT NOT NULL,
    -- How many PINs were drawn, and how often the newest was tried in vain.
    pins         BIGINT NOT NULL,
    tries        BIGINT NOT NULL,
    -- SHA-256 (hex) of what settles the rest.
    ticket       TEXT,
    ticket_until BIGINT,
    -- The user of the site over whom there was a conflict.
    wanted_user  TEXT,
    created_at   BIGINT NOT NULL,
    until        BIGINT NOT NULL
);
CREATE UNIQUE INDEX links_issued_ticket ON links_issued (ticket) WHERE ticket IS NOT NULL;
CREATE INDEX links_issued_chat ON links_issued (chat_scope, chat);
CREATE INDEX links_issued_wanted ON links_issued (wanted_user) WHERE wanted_user IS NOT NULL;
CREATE INDEX links_issued_until ON links_issued (until);

-- Which user of a site somebody proved to be, out of a chat. Who the person is say the identifiers of both.
CREATE TABLE web_users (
    namespace  TEXT NOT NULL,
    chat_scope TEXT NOT NULL,
    chat       TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    since      BIGINT NOT NULL,
    PRIMARY KEY (namespace, chat_scope, chat)
);
CREATE INDEX web_users_user ON web_users (namespace, user_id);
CREATE INDEX web_users_chat ON web_users (chat_scope, chat);

-- How often whoever asks has failed, since when. By hash: it may be the address of somebody's home.
CREATE TABLE link_failures (
    caller TEXT PRIMARY KEY,
    since  BIGINT NOT NULL,
    count  BIGINT NOT NULL
);
CREATE INDEX link_failures_since ON link_failures (since);

-- Our own tokens in start parameters of bots, and what they stand for.
CREATE TABLE start_tokens (
    -- SHA-256 (hex) of the token.
    id         TEXT PRIMARY KEY,
    -- What whoever made it wants to know again.
    data       TEXT,
    created_at BIGINT NOT NULL,
    until      BIGINT NOT NULL,
    -- The lead that came with it, or that somebody asked for it over the API; NULL while it is good.
    used_by    TEXT
);
CREATE INDEX start_tokens_until ON start_tokens (until);

CREATE TABLE start_token_identifiers (
    token TEXT NOT NULL,
    kind  TEXT NOT NULL,
    scope TEXT NOT NULL,
    -- Phones and emails as they are shown: their keys follow from that.
    value TEXT NOT NULL,
    PRIMARY KEY (token, kind, scope, value)
);
CREATE INDEX start_token_identifiers_value ON start_token_identifiers (kind, scope, value);
