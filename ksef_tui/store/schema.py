"""The schema as numbered steps. A step that has been released is never changed; a new one is added.

Every table is STRICT. Two things keep themselves up to date by trigger, so that no writer can forget them:
`change_seq` (the change feed: rows with a larger number than the one last seen have changed) and
`invoice_count` (how many invoices a client has in each state, so that counters never scan).
"""

from __future__ import annotations

from ksef_tui.store import schema_access as access
from ksef_tui.store import schema_queue as queue
from ksef_tui.store.feed import feed

_OFFICE = [
    """CREATE TABLE office (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        office_id TEXT NOT NULL,
        environment TEXT NOT NULL CHECK (environment IN ('sandbox', 'test', 'preprod', 'production')),
        api_url TEXT,
        nip TEXT NOT NULL,
        name TEXT NOT NULL,
        secrets TEXT NOT NULL CHECK (secrets IN ('file', 'system', 'passphrase')),
        created_at TEXT NOT NULL
    ) STRICT""",
    "CREATE TABLE change_counter (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL) STRICT",
    "INSERT INTO change_counter VALUES (1, 0)",
    """CREATE TABLE client (
        id INTEGER PRIMARY KEY,
        nip TEXT NOT NULL UNIQUE CHECK (length(nip) = 10),
        name TEXT NOT NULL,
        office INTEGER NOT NULL DEFAULT 0,
        keeper_id INTEGER REFERENCES operator(id),
        paused INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL,
        archived_at TEXT,
        change_seq INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX client_change ON client (change_seq)",
    """CREATE TABLE operator (
        id INTEGER PRIMARY KEY,
        login TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('admin', 'accountant', 'client')),
        client_id INTEGER REFERENCES client(id),
        created_at TEXT NOT NULL,
        disabled_at TEXT,
        CHECK ((role = 'client') = (client_id IS NOT NULL))
    ) STRICT""",
    """CREATE TABLE identity (
        id INTEGER PRIMARY KEY,
        label TEXT NOT NULL,
        operator_id INTEGER REFERENCES operator(id),
        subject_type TEXT NOT NULL CHECK (subject_type IN ('Nip', 'Pesel', 'Fingerprint')),
        subject_value TEXT NOT NULL,
        common_name TEXT NOT NULL,
        serial TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        key_kind TEXT NOT NULL,
        valid_from TEXT NOT NULL,
        valid_to TEXT NOT NULL,
        certificate BLOB NOT NULL,
        seal_row TEXT NOT NULL,
        sealed_key BLOB NOT NULL,
        created_at TEXT NOT NULL,
        removed_at TEXT
    ) STRICT""",
    "CREATE UNIQUE INDEX identity_label ON identity (label) WHERE removed_at IS NULL",
    """CREATE TABLE authorization (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        state TEXT NOT NULL DEFAULT 'missing',
        method TEXT CHECK (method IN ('certificate', 'external', 'token')),
        identity_id INTEGER REFERENCES identity(id),
        intent TEXT NOT NULL DEFAULT '' CHECK (intent IN ('', 'login', 'check', 'revoke')),
        step TEXT NOT NULL DEFAULT '',
        step_failed INTEGER NOT NULL DEFAULT 0,
        reason_code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        rights TEXT NOT NULL DEFAULT '[]',
        can_delegate INTEGER NOT NULL DEFAULT 0,
        subject TEXT NOT NULL DEFAULT '',
        context_nip TEXT NOT NULL DEFAULT '',
        reference TEXT NOT NULL DEFAULT '',
        sealed_operation BLOB,
        sealed_token BLOB,
        sealed_refresh BLOB,
        refresh_until TEXT,
        sealed_access BLOB,
        access_until TEXT,
        fallback TEXT,
        retry_at TEXT,
        requested_at TEXT,
        checked_at TEXT,
        valid_until TEXT,
        changed_at TEXT NOT NULL,
        change_seq INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX authorization_change ON authorization (change_seq)",
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE lease (
        name TEXT PRIMARY KEY,
        pid INTEGER NOT NULL,
        pid_started INTEGER NOT NULL,
        boot_id TEXT NOT NULL,
        expires REAL NOT NULL,
        fence INTEGER NOT NULL
    ) STRICT""",
]

_INVOICES = [
    "CREATE TABLE document (sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64), bytes BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        client_id INTEGER NOT NULL REFERENCES client(id),
        kind TEXT NOT NULL CHECK (kind IN ('interactive', 'batch')),
        state TEXT NOT NULL CHECK (state IN ('opening', 'open', 'closing', 'closed', 'finished', 'lost')),
        reference TEXT NOT NULL DEFAULT '',
        context_nip TEXT NOT NULL,
        subject TEXT NOT NULL,
        form_code TEXT NOT NULL,
        seal_row TEXT NOT NULL,
        sealed_key BLOB NOT NULL,
        iv BLOB NOT NULL,
        code INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        created_at TEXT NOT NULL,
        used_at TEXT NOT NULL,
        closed_at TEXT,
        checked_at TEXT
    ) STRICT""",
    "CREATE INDEX session_live ON session (client_id, state) WHERE state NOT IN ('finished', 'lost')",
    "CREATE INDEX session_reference ON session (reference)",
    """CREATE TABLE invoice (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        client_id INTEGER NOT NULL REFERENCES client(id),
        sha256 TEXT NOT NULL REFERENCES document(sha256),
        file TEXT NOT NULL,
        size INTEGER NOT NULL,
        seller_nip TEXT NOT NULL,
        number TEXT NOT NULL,
        number_key TEXT NOT NULL,
        kind TEXT NOT NULL,
        issue_date TEXT NOT NULL,
        buyer_nip TEXT NOT NULL,
        buyer TEXT NOT NULL,
        gross TEXT NOT NULL,
        currency TEXT NOT NULL,
        form_code TEXT NOT NULL,
        attachment INTEGER NOT NULL DEFAULT 0,
        search TEXT NOT NULL,
        state TEXT NOT NULL,
        reason_code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        findings TEXT NOT NULL DEFAULT '[]',
        mode TEXT NOT NULL DEFAULT 'online' CHECK (mode IN ('online', 'offline')),
        channel TEXT NOT NULL DEFAULT 'interactive' CHECK (channel IN ('interactive', 'batch')),
        send_after TEXT,
        approved_by INTEGER REFERENCES operator(id),
        session_id INTEGER REFERENCES session(id),
        ordinal INTEGER,
        reference TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0,
        ksef_number TEXT NOT NULL DEFAULT '',
        original_session TEXT NOT NULL DEFAULT '',
        accepted_at TEXT,
        upo TEXT NOT NULL DEFAULT 'none' CHECK (upo IN ('none', 'saved', 'late', 'unavailable')),
        upo_sha256 TEXT REFERENCES document(sha256),
        upo_at TEXT,
        replaced_by INTEGER REFERENCES invoice(id),
        next_look TEXT,
        created_at TEXT NOT NULL,
        changed_at TEXT NOT NULL,
        change_seq INTEGER NOT NULL DEFAULT 0,
        UNIQUE (client_id, sha256)
    ) STRICT""",
    "CREATE INDEX invoice_number ON invoice (client_id, number_key)",
    "CREATE INDEX invoice_client_state ON invoice (client_id, state, id)",
    "CREATE INDEX invoice_state ON invoice (state, id)",
    "CREATE INDEX invoice_session ON invoice (session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX invoice_upo ON invoice (client_id, upo) WHERE state = 'accepted' AND upo IN ('none', 'late')",
    "CREATE INDEX invoice_change ON invoice (change_seq)",
    """CREATE TABLE invoice_event (
        id INTEGER PRIMARY KEY,
        invoice_id INTEGER NOT NULL REFERENCES invoice(id),
        at TEXT NOT NULL,
        act TEXT NOT NULL,
        from_state TEXT NOT NULL,
        to_state TEXT NOT NULL,
        operator_id INTEGER REFERENCES operator(id),
        reason_code TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX invoice_event_invoice ON invoice_event (invoice_id)",
    """CREATE TABLE authorization_event (
        id INTEGER PRIMARY KEY,
        client_id INTEGER NOT NULL REFERENCES client(id),
        at TEXT NOT NULL,
        act TEXT NOT NULL,
        from_state TEXT NOT NULL,
        to_state TEXT NOT NULL,
        operator_id INTEGER REFERENCES operator(id),
        reason_code TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX authorization_event_client ON authorization_event (client_id)",
    """CREATE TABLE invoice_count (
        client_id INTEGER NOT NULL, state TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (client_id, state)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TRIGGER invoice_counted AFTER INSERT ON invoice BEGIN
        INSERT INTO invoice_count VALUES (NEW.client_id, NEW.state, 1)
        ON CONFLICT (client_id, state) DO UPDATE SET n = n + 1;
    END""",
    """CREATE TRIGGER invoice_recounted AFTER UPDATE OF state ON invoice WHEN NEW.state <> OLD.state BEGIN
        UPDATE invoice_count SET n = n - 1 WHERE client_id = OLD.client_id AND state = OLD.state;
        INSERT INTO invoice_count VALUES (NEW.client_id, NEW.state, 1)
        ON CONFLICT (client_id, state) DO UPDATE SET n = n + 1;
    END""",
]

_RECORDS = [
    """CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        call_id INTEGER,
        phase TEXT NOT NULL CHECK (phase IN ('started', 'ended')),
        at TEXT NOT NULL,
        epoch REAL NOT NULL,
        pid INTEGER NOT NULL,
        context TEXT NOT NULL,
        operation TEXT NOT NULL,
        method TEXT NOT NULL,
        path TEXT NOT NULL,
        limit_group TEXT NOT NULL,
        reference TEXT NOT NULL,
        invoice_id INTEGER REFERENCES invoice(id),
        kind TEXT NOT NULL DEFAULT '',
        status INTEGER,
        code INTEGER,
        detail TEXT NOT NULL DEFAULT '',
        seconds REAL
    ) STRICT""",
    "CREATE INDEX journal_window ON journal (context, limit_group, epoch) WHERE phase = 'started'",
    "CREATE INDEX journal_group ON journal (limit_group, epoch) WHERE phase = 'started'",
    "CREATE INDEX journal_invoice ON journal (invoice_id) WHERE invoice_id IS NOT NULL",
    "CREATE INDEX journal_call ON journal (call_id) WHERE call_id IS NOT NULL",
    "CREATE TABLE odd_answer (call_id INTEGER PRIMARY KEY, at TEXT NOT NULL, body TEXT NOT NULL CHECK (length(body) <= 8192)) STRICT",
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        operator_id INTEGER REFERENCES operator(id),
        login TEXT NOT NULL,
        act TEXT NOT NULL,
        client_id INTEGER REFERENCES client(id),
        invoice_id INTEGER REFERENCES invoice(id),
        detail TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX audit_invoice ON audit (invoice_id) WHERE invoice_id IS NOT NULL",
    "CREATE INDEX audit_client ON audit (client_id) WHERE client_id IS NOT NULL",
    """CREATE TABLE rate_limit (
        context TEXT NOT NULL, limit_group TEXT NOT NULL,
        per_second INTEGER NOT NULL, per_minute INTEGER NOT NULL, per_hour INTEGER NOT NULL, read_at TEXT NOT NULL,
        PRIMARY KEY (context, limit_group)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE rate_block (
        context TEXT NOT NULL, limit_group TEXT NOT NULL, until_epoch REAL NOT NULL, PRIMARY KEY (context, limit_group)
    ) STRICT, WITHOUT ROWID""",
]

# The package of a batch session and its parts, which lie encrypted in the data directory until the session is over.
_BATCHES = [
    "ALTER TABLE client ADD COLUMN reconcile_since TEXT",
    """CREATE TABLE batch (
        session_id INTEGER PRIMARY KEY REFERENCES session(id),
        compression TEXT NOT NULL CHECK (compression IN ('TarGz', 'Zip')),
        size INTEGER NOT NULL,
        hash TEXT NOT NULL,
        upload_until TEXT
    ) STRICT""",
    """CREATE TABLE batch_part (
        session_id INTEGER NOT NULL REFERENCES session(id),
        ordinal INTEGER NOT NULL,
        size INTEGER NOT NULL,
        hash TEXT NOT NULL,
        sealed_url BLOB,
        headers TEXT NOT NULL DEFAULT '{}',
        uploaded_at TEXT,
        PRIMARY KEY (session_id, ordinal)
    ) STRICT""",
]

# (name, statements), in order; the number of a step is its place, counted from 1.
STEPS: list[tuple[str, list[str]]] = [
    ("office", [*_OFFICE, *feed("client"), *feed("authorization")]),
    ("invoices", [*_INVOICES, *feed("invoice")]),
    ("records", _RECORDS),
    ("signatures", access.SIGNATURES),
    ("vault", access.VAULT),
    ("certificates", access.CERTIFICATES),
    ("standing", access.STANDING),
    ("bulk", access.BULK),
    ("switches", access.SWITCHES),
    ("endings", access.ENDINGS),
    ("grants_seen", access.GRANTS_SEEN),
    ("onboarding", access.ONBOARDING),
    ("staff", access.STAFF),
    ("batches", _BATCHES),
    ("urgency", queue.URGENCY),
    ("finding", queue.FINDING),
    ("today", queue.TODAY),
    ("clock", queue.CLOCK),
    ("repair", queue.REPAIR),
    ("storage", queue.STORAGE),
    ("ids", queue.IDS),
]
