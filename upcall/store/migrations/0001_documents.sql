-- Entities, subjects and limits. `space` is the upstream database the id lives in: `whisks` or `subjects`.
CREATE TABLE documents (
    n INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    package TEXT NOT NULL,
    updated INTEGER NOT NULL,
    rev TEXT NOT NULL,
    doc BLOB NOT NULL,
    UNIQUE (space, id)
) STRICT;
CREATE INDEX documents_listed ON documents (kind, namespace, updated, package);

-- An action's code, apart: lists never read it.
CREATE TABLE code (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;

-- Which subject (`n` of its document) has which namespace under which uuid.
CREATE TABLE credentials (n INTEGER NOT NULL, uuid TEXT NOT NULL, namespace TEXT NOT NULL) STRICT;
CREATE INDEX credentials_subject ON credentials (n);
CREATE INDEX credentials_uuid ON credentials (uuid);
CREATE INDEX credentials_namespace ON credentials (namespace);

-- Activation records; `name` is what the list's filter compares: `action` or `package/action`. It is in the index so
-- that a filtered list touches only the rows that it returns; an index of its own would cost each record 1 to 3 us.
CREATE TABLE activations (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    start INTEGER NOT NULL,
    name TEXT NOT NULL,
    doc BLOB NOT NULL
) STRICT;
CREATE INDEX activations_listed ON activations (namespace, start, name);
