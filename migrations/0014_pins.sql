-- PINs that are sent into a chat for whoever asks: drawn when they are sent.

-- What the PINs of a link are hashed together with, from when one is asked for until it is sent; NULL otherwise. It follows
-- from the public id, and without it nobody can try PINs.
ALTER TABLE links_issued ADD COLUMN pin_key TEXT;
-- When that PIN was asked for.
ALTER TABLE links_issued ADD COLUMN pin_asked_at BIGINT;
