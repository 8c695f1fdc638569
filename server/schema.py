"""The coordinator's schema, one migration a released version: append, never edit."""

MIGRATIONS = (
    """
    CREATE TABLE invitations (
        token_sha256 TEXT PRIMARY KEY, expires_at REAL NOT NULL, used_by TEXT
    );
    CREATE TABLE devices (
        name TEXT PRIMARY KEY, public_key BLOB NOT NULL UNIQUE, state TEXT NOT NULL, node_id INTEGER,
        enrolled_at REAL NOT NULL, last_seen REAL, release INTEGER NOT NULL DEFAULT 0,
        detail TEXT NOT NULL DEFAULT '', bytes_up INTEGER NOT NULL DEFAULT 0,
        bytes_down INTEGER NOT NULL DEFAULT 0, roster_signature BLOB
    );
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
        request TEXT NOT NULL, created_at REAL NOT NULL, started_at REAL, finished_at REAL,
        detail TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE progress (run_id INTEGER PRIMARY KEY REFERENCES runs(id), body TEXT NOT NULL);
    CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE versions (
        number INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, revision INTEGER NOT NULL,
        run_id INTEGER NOT NULL, round_number INTEGER NOT NULL, parent INTEGER NOT NULL,
        weights_sha256 TEXT NOT NULL REFERENCES blobs(sha256), stage TEXT NOT NULL, created_at REAL NOT NULL
    );
    CREATE TABLE rounds (
        run_id INTEGER NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, outcome TEXT NOT NULL,
        version INTEGER REFERENCES versions(number), momentum_sha256 TEXT REFERENCES blobs(sha256),
        PRIMARY KEY (run_id, number)
    );
    CREATE TABLE tasks (
        name TEXT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, revision)
    );
    CREATE TABLE releases (
        number INTEGER PRIMARY KEY, task TEXT NOT NULL, version INTEGER NOT NULL REFERENCES versions(number),
        body TEXT NOT NULL, gates TEXT NOT NULL
    );
    CREATE TABLE surveys (run_id INTEGER PRIMARY KEY, task TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL, act TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE sequences (
        device TEXT PRIMARY KEY REFERENCES devices(name), number INTEGER NOT NULL, blob TEXT NOT NULL,
        receipt TEXT NOT NULL, at REAL NOT NULL
    );
    """,
    """
    ALTER TABLE devices ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE devices ADD COLUMN affords TEXT NOT NULL DEFAULT '';
    ALTER TABLE invitations ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    CREATE TABLE rosters (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE campaign_keys (run_id INTEGER PRIMARY KEY REFERENCES runs(id), key BLOB NOT NULL);
    """,
    """
    ALTER TABLE audit ADD COLUMN command TEXT NOT NULL DEFAULT '';
    CREATE TABLE lineage (version INTEGER PRIMARY KEY REFERENCES versions(number), body TEXT NOT NULL);
    CREATE TABLE gatings (
        id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL REFERENCES versions(number),
        at REAL NOT NULL, verdicts TEXT NOT NULL
    );
    CREATE TABLE evaluations (
        run_id INTEGER PRIMARY KEY, task TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL
    );
    CREATE TABLE rollouts (
        task TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, release INTEGER NOT NULL,
        why TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (task, number)
    );
    CREATE TABLE health (
        device TEXT NOT NULL REFERENCES devices(name), task TEXT NOT NULL, release INTEGER NOT NULL,
        at REAL NOT NULL, body TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (device, task, release)
    );
    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL
    );
    """,
    # Rows of which there are as many as devices say when they last moved: who looks often reads those alone.
    """
    ALTER TABLE devices ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX devices_moved ON devices (moved);
    CREATE TRIGGER devices_added AFTER INSERT ON devices BEGIN
        UPDATE devices SET moved = (SELECT max(moved) + 1 FROM devices) WHERE name = new.name;
    END;
    CREATE TRIGGER devices_changed AFTER UPDATE ON devices WHEN new.moved = old.moved BEGIN
        UPDATE devices SET moved = (SELECT max(moved) + 1 FROM devices) WHERE name = new.name;
    END;
    ALTER TABLE health ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX health_moved ON health (moved);
    CREATE TRIGGER health_added AFTER INSERT ON health BEGIN
        UPDATE health SET moved = (SELECT max(moved) + 1 FROM health)
        WHERE device = new.device AND task = new.task AND release = new.release;
    END;
    CREATE TRIGGER health_changed AFTER UPDATE ON health WHEN new.moved = old.moved BEGIN
        UPDATE health SET moved = (SELECT max(moved) + 1 FROM health)
        WHERE device = new.device AND task = new.task AND release = new.release;
    END;
    """,
)
