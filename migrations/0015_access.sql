-- Who may use leadfold, as whom, and what they did with it.

CREATE TABLE users (
    -- In lower case.
    name       TEXT PRIMARY KEY,
    -- Argon2id, as a PHC string; the password itself is nowhere.
    password   TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at BIGINT NOT NULL
);

CREATE TABLE access_tokens (
    name       TEXT PRIMARY KEY,
    -- SHA-256 (hex) of the token; the token itself was shown once.
    hash       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX access_tokens_hash ON access_tokens (hash);

-- Browsers that signed in. What a session may do says its user or token at each request, so taking that away ends it.
CREATE TABLE sessions (
    -- SHA-256 (hex) of what the cookie holds.
    hash       TEXT PRIMARY KEY,
    -- user, token (an access token), start (the token that leadfold was started with).
    kind       TEXT NOT NULL CHECK (kind IN ('user', 'token', 'start')),
    -- Of the user or token. Of the start token, the SHA-256 (hex) of the token's hash, so that another token ends it.
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE INDEX sessions_seen ON sessions (seen_at);

-- What people changed, by console, API or command. Written before it is done; the outcome follows.
CREATE TABLE actions (
    id        TEXT PRIMARY KEY,
    at        BIGINT NOT NULL,
    who       TEXT NOT NULL,
    role      TEXT NOT NULL,
    -- console, api, command.
    through   TEXT NOT NULL,
    -- The path of the operation.
    operation TEXT NOT NULL,
    -- What was asked (JSON), without secrets and with personal data masked.
    asked     TEXT NOT NULL,
    -- done, or why it was not; NULL when the process ended in between.
    outcome   TEXT
);
