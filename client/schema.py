"""The schema of an agent's database, one migration a released version: append, never edit."""

MIGRATIONS = (
    """
    CREATE TABLE charges (
        id INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
        purpose TEXT NOT NULL, state TEXT NOT NULL, charged_at REAL NOT NULL, sealed_at REAL, sent_at REAL, reply BLOB
    );
    CREATE TABLE events (
        charge INTEGER NOT NULL REFERENCES charges(id), noise_multiplier REAL NOT NULL,
        sample_rate REAL NOT NULL, steps INTEGER NOT NULL
    );
    CREATE TABLE consents (
        task TEXT NOT NULL, sha256 TEXT NOT NULL, agreed_at REAL NOT NULL, PRIMARY KEY (task, sha256)
    );
    CREATE TABLE refusals (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, task TEXT NOT NULL, category TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    """,
    """
    ALTER TABLE charges ADD COLUMN encrypted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE charges ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
    UPDATE charges SET sequence = id;
    CREATE TABLE agreements (
        id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, sha256 TEXT NOT NULL, agreed_at REAL NOT NULL,
        words TEXT NOT NULL DEFAULT '', withdrawn_at REAL
    );
    INSERT INTO agreements (task, sha256, agreed_at) SELECT task, sha256, agreed_at FROM consents ORDER BY agreed_at;
    DROP TABLE consents;
    ALTER TABLE agreements RENAME TO consents;
    CREATE TABLE sequence (
        id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, unsettled TEXT NOT NULL DEFAULT '',
        behind INTEGER NOT NULL DEFAULT 0, accepted INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT ''
    );
    INSERT INTO sequence (id, number) SELECT 1, coalesce(max(id), 0) FROM charges;
    CREATE TABLE receipts (number INTEGER PRIMARY KEY, entry INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL, size INTEGER NOT NULL,
        epsilon REAL NOT NULL, sha256 TEXT NOT NULL, purpose BLOB NOT NULL, hash BLOB NOT NULL
    );
    CREATE TABLE audit_start (id INTEGER PRIMARY KEY CHECK (id = 1), entry INTEGER NOT NULL, hash BLOB NOT NULL);
    INSERT INTO audit_start VALUES (1, 0, zeroblob(32));
    """,
    """
    ALTER TABLE events ADD COLUMN level TEXT NOT NULL DEFAULT 'record';
    ALTER TABLE events ADD COLUMN trust TEXT NOT NULL DEFAULT 'everyone';
    CREATE VIEW costs AS
        SELECT charge, noise_multiplier, sample_rate, steps, level FROM events
        UNION ALL
        SELECT charge, noise_multiplier, sample_rate, steps, 'alone' FROM events
        WHERE level = 'record' AND trust = 'everyone';
    CREATE TABLE reservations (
        campaign TEXT PRIMARY KEY, taken INTEGER NOT NULL, last INTEGER NOT NULL
    );
    """,
    """
    ALTER TABLE charges ADD COLUMN dated TEXT;
    ALTER TABLE charges ADD COLUMN rows_from INTEGER;
    ALTER TABLE charges ADD COLUMN rows_until INTEGER;
    ALTER TABLE reservations ADD COLUMN charge INTEGER;
    """,
)
"""`events.level` and `events.trust` are `shared.privacy`'s words, and `costs` adds that what trusts nobody costs the
same if the coordinator is malicious; a reservation is a campaign that was charged whole, with `charge`.

A charge was for the rows whose timestamp in the column `dated` lies in [`rows_from`, `rows_until`), whole Unix seconds;
for any row, if `dated` is null.

`charges.reply` is encrypted where `encrypted` is 1, `refusals.detail` where it is a blob, `audit.purpose` always.

`audit_start` is the last entry that was erased, and its hash: the chain goes on from there.
"""
