-- The tables of ../0001_documents.sql for PostgreSQL. Names and documents are bytes: no encoding of the database can refuse
-- a character (PostgreSQL's text has no NUL), and no change of the system's collation makes an index wrong.
CREATE TABLE upcall.documents (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space text NOT NULL,
    id bytea NOT NULL,
    kind text NOT NULL,
    namespace bytea NOT NULL,
    package bytea NOT NULL,
    updated bigint NOT NULL,
    rev text NOT NULL,
    doc bytea NOT NULL,
    UNIQUE (space, id)
);
CREATE INDEX documents_listed ON upcall.documents (kind, namespace, updated, n);

-- An action's code, apart: lists never read it. To compress 48 MB that are a zip file already would take seconds.
CREATE TABLE upcall.code (n bigint PRIMARY KEY REFERENCES upcall.documents ON DELETE CASCADE, text bytea NOT NULL);
ALTER TABLE upcall.code ALTER COLUMN text SET STORAGE EXTERNAL;

-- Which subject (`n` of its document) has which namespace under which uuid.
CREATE TABLE upcall.credentials (
    n bigint NOT NULL REFERENCES upcall.documents ON DELETE CASCADE,
    uuid bytea NOT NULL,
    namespace bytea NOT NULL
);
CREATE INDEX credentials_subject ON upcall.credentials (n);
CREATE INDEX credentials_uuid ON upcall.credentials (uuid);
CREATE INDEX credentials_namespace ON upcall.credentials (namespace);

-- Activation records; `name` is what the list's filter compares: `action` or `package/action`. It is in the index so that
-- a filtered list touches only the rows that it returns.
CREATE TABLE upcall.activations (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    namespace bytea NOT NULL,
    start bigint NOT NULL,
    name bytea NOT NULL,
    doc bytea NOT NULL
);
CREATE INDEX activations_listed ON upcall.activations (namespace, start, name);
