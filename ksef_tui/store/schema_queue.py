"""Steps of the schema that belong to sending: what is urgent, what is paused, who rests, what is mended and how."""

from __future__ import annotations

from ksef_tui.store.feed import feed

# `pause`: who stopped the sending, of one client or (client_id NULL) of all, and who let it go on. One in force for each.
# `client_rest`: until when the worker leaves a client alone after a failure, and why; other processes read it.
URGENCY = [
    "ALTER TABLE invoice ADD COLUMN urgent_at TEXT",
    "CREATE INDEX invoice_urgent ON invoice (client_id) WHERE urgent_at IS NOT NULL AND state = 'approved'",
    """CREATE TABLE pause (
        id INTEGER PRIMARY KEY,
        client_id INTEGER REFERENCES client(id),
        at TEXT NOT NULL,
        operator_id INTEGER NOT NULL REFERENCES operator(id),
        why TEXT NOT NULL,
        ended_at TEXT,
        ended_by INTEGER REFERENCES operator(id),
        change_seq INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE UNIQUE INDEX pause_of_client ON pause (client_id) WHERE ended_at IS NULL AND client_id IS NOT NULL",
    "CREATE UNIQUE INDEX pause_of_all ON pause (ended_at IS NULL) WHERE ended_at IS NULL AND client_id IS NULL",
    "CREATE INDEX pause_change ON pause (change_seq)",
    *feed("pause"),
    "ALTER TABLE client DROP COLUMN paused",
    """CREATE TABLE client_rest (
        client_id INTEGER PRIMARY KEY REFERENCES client(id), until TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT""",
]

# Filters by day, amount and state: all that they compare stands in the index, so that a million rows are not read.
FINDING = [
    "CREATE INDEX invoice_day ON invoice (issue_date, state, gross, client_id)",
]

# The whole queue is the ids alone, newest first: from the table itself they would be read past every invoice there is.
IDS = [
    "CREATE INDEX invoice_id ON invoice (id)",
]

# What needs a person (`services.today`) reads these few out of a million settled ones, and nothing but the index.
TODAY = [
    """CREATE INDEX invoice_unsettled ON invoice (
        client_id, state, issue_date, currency, approved_by, session_id, reason_code, reason, gross, changed_at, send_after,
        attachment
    ) WHERE state IN ('waiting', 'approved', 'held', 'blocked', 'invalid', 'rejected', 'sending', 'unknown')""",
    "CREATE INDEX invoice_late ON invoice (client_id) WHERE state = 'accepted' AND upo = 'late'",
]

# How far the wall clock is from the clock that never jumps (`store.clocks`).
CLOCK = [
    """CREATE TABLE clock (
        id INTEGER PRIMARY KEY CHECK (id = 1), boot_id TEXT NOT NULL, distance REAL NOT NULL
    ) STRICT""",
]

# `collision`: what KSeF has under the number of a refused invoice. `wanted`: still to be read; `missing`: why it cannot be.
REPAIR = [
    "ALTER TABLE invoice ADD COLUMN settled_at TEXT",
    "DROP INDEX invoice_unsettled",
    """CREATE INDEX invoice_unsettled ON invoice (
        client_id, state, issue_date, currency, approved_by, session_id, reason_code, reason, gross, changed_at, send_after,
        attachment, settled_at
    ) WHERE settled_at IS NULL
      AND state IN ('waiting', 'approved', 'held', 'blocked', 'invalid', 'rejected', 'sending', 'unknown')""",
    "CREATE INDEX invoice_settled ON invoice (client_id) WHERE settled_at IS NOT NULL AND state = 'rejected'",
    "CREATE INDEX invoice_replaced ON invoice (replaced_by) WHERE replaced_by IS NOT NULL",
    """CREATE TABLE collision (
        invoice_id INTEGER PRIMARY KEY REFERENCES invoice(id),
        ksef_number TEXT NOT NULL DEFAULT '',
        document_sha256 TEXT REFERENCES document(sha256),
        wanted INTEGER NOT NULL DEFAULT 1 CHECK (wanted IN (0, 1)),
        missing TEXT NOT NULL DEFAULT '',
        next_look TEXT
    ) STRICT""",
    "CREATE INDEX collision_wanted ON collision (invoice_id) WHERE wanted = 1",
    "INSERT INTO collision (invoice_id) SELECT id FROM invoice WHERE state = 'rejected' AND reason_code = '440'",
]

# Invoices with a number that KSeF was not seen to have stored (F17).
STORAGE = [
    """CREATE TABLE unstored (
        invoice_id INTEGER PRIMARY KEY REFERENCES invoice(id),
        client_id INTEGER NOT NULL REFERENCES client(id),
        numbered_at TEXT NOT NULL,
        look_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX unstored_look ON unstored (client_id, look_at)",
]
