-- Activations that were accepted and have not ended; `id` is that of the record to come. An activation that ends within
-- some milliseconds never comes here (`upcall.store.journal`). `n` keeps the order; a table without a row number costs
-- the same: 2 us for a row's insert, its end and its delete each.
CREATE TABLE journal (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    started INTEGER NOT NULL,
    message BLOB NOT NULL
) STRICT;
