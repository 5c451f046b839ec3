"""The schema as numbered steps. A step that has been released is never changed; a new one is added.

Every table is STRICT. Two things keep themselves up to date by trigger, so that no writer can forget them:
`change_seq` (the change feed: rows with a larger number than the one last seen have changed) and
`invoice_count` (how many invoices a client has in each state, so that counters never scan).
"""

from __future__ import annotations


def _feed(table: str) -> list[str]:
    """The triggers that put a table's rows into the change feed."""
    stamp = (
        "UPDATE change_counter SET seq = seq + 1; "
        f"UPDATE {table} SET change_seq = (SELECT seq FROM change_counter) WHERE rowid = NEW.rowid;"
    )
    return [
        f"CREATE TRIGGER {table}_inserted AFTER INSERT ON {table} BEGIN {stamp} END",
        f"CREATE TRIGGER {table}_updated AFTER UPDATE ON {table} WHEN NEW.change_seq = OLD.change_seq BEGIN {stamp} END",
    ]


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

# A login that is signed elsewhere: what is to be signed, what came back, and KSeF's reference until it has judged.
_SIGNATURES = [
    """CREATE TABLE signature_request (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        challenge TEXT NOT NULL,
        valid_until TEXT NOT NULL,
        document BLOB NOT NULL,
        sealed_signed BLOB,
        submitted_at TEXT,
        reference TEXT NOT NULL DEFAULT '',
        sealed_operation BLOB
    ) STRICT""",
]

# A client that signs at the office's desk (design §7): how far it came, and the logins in the client's own name. These
# serve to grant, to read grants and to be ended, never to work with; `end_at`: when to try next to end one at KSeF.
_ONBOARDING = [
    """CREATE TABLE onboarding (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        identity_id INTEGER NOT NULL REFERENCES identity(id),
        operator_id INTEGER NOT NULL REFERENCES operator(id),
        step TEXT NOT NULL CHECK (step IN ('sign', 'grant', 'wait', 'authorise', 'end')),
        step_at TEXT NOT NULL,
        session TEXT NOT NULL DEFAULT '',
        granting_at TEXT,
        operation TEXT NOT NULL DEFAULT '',
        reason_code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    """CREATE TABLE client_session (
        reference TEXT PRIMARY KEY,
        client_id INTEGER NOT NULL REFERENCES client(id),
        signer TEXT NOT NULL,
        sealed_access BLOB,
        access_until TEXT,
        sealed_refresh BLOB NOT NULL,
        refresh_until TEXT NOT NULL,
        end_at TEXT
    ) STRICT""",
    "CREATE INDEX client_session_client ON client_session (client_id)",
]

# Which data key is in force (the first bytes of what it seals), and what was stored under another (`store.sealed`).
_VAULT = [
    "ALTER TABLE office ADD COLUMN seal_header BLOB NOT NULL DEFAULT x'01'",
    """CREATE TABLE stale_seal (
        table_name TEXT NOT NULL, column_name TEXT NOT NULL, row_id INTEGER NOT NULL,
        PRIMARY KEY (table_name, column_name, row_id)
    ) STRICT, WITHOUT ROWID""",
]

# KSeF certificates: what is known of each identity, and orders and revocations with how far they have come.
_CERTIFICATES = [
    "ALTER TABLE identity ADD COLUMN kind TEXT NOT NULL DEFAULT '' CHECK (kind IN ('', 'seal', 'person', 'ksef'))",
    "ALTER TABLE identity ADD COLUMN proof BLOB",
    "ALTER TABLE identity ADD COLUMN replaced_by INTEGER REFERENCES identity(id)",
    "ALTER TABLE identity ADD COLUMN revoked_at TEXT",
    """CREATE TABLE enrolment (
        id INTEGER PRIMARY KEY,
        client_id INTEGER NOT NULL REFERENCES client(id),
        operator_id INTEGER REFERENCES operator(id),
        renews INTEGER REFERENCES identity(id),
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        type TEXT NOT NULL CHECK (type IN ('Authentication', 'Offline')),
        state TEXT NOT NULL CHECK (state IN ('asked', 'ready', 'sending', 'waiting', 'issued', 'done', 'failed')),
        reason_code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        subject_type TEXT NOT NULL DEFAULT '',
        subject_value TEXT NOT NULL DEFAULT '',
        seal_row TEXT NOT NULL DEFAULT '',
        sealed_key BLOB,
        request BLOB,
        left_before INTEGER,
        submitted_at TEXT,
        reference TEXT NOT NULL DEFAULT '',
        serial TEXT NOT NULL DEFAULT '',
        certificate BLOB,
        valid_to TEXT,
        identity_id INTEGER REFERENCES identity(id),
        created_at TEXT NOT NULL,
        changed_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX authorization_identity ON authorization (identity_id) WHERE identity_id IS NOT NULL",
    "CREATE UNIQUE INDEX enrolment_label ON enrolment (label) WHERE state NOT IN ('done', 'failed')",
    """CREATE TABLE revocation (
        id INTEGER PRIMARY KEY,
        client_id INTEGER NOT NULL REFERENCES client(id),
        identity_id INTEGER REFERENCES identity(id),
        enrolment_id INTEGER REFERENCES enrolment(id),
        serial TEXT NOT NULL,
        reason TEXT NOT NULL CHECK (reason IN ('Unspecified', 'Superseded', 'KeyCompromise')),
        operator_id INTEGER REFERENCES operator(id),
        state TEXT NOT NULL CHECK (state IN ('unused', 'asked', 'done', 'failed')),
        message TEXT NOT NULL DEFAULT '',
        created_at TEXT NOT NULL,
        ended_at TEXT
    ) STRICT""",
]

# How long a login is let stand: whose certificate may work where, whom the ministry stopped, who was asked about today.
_STANDING = [
    "ALTER TABLE client ADD COLUMN self_service INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE identity ADD COLUMN client_id INTEGER REFERENCES client(id)",  # of a self-service client, for it alone
    "ALTER TABLE identity ADD COLUMN suspected_at TEXT",  # a client's login by it ended with 480: to be tested at home
    "ALTER TABLE identity ADD COLUMN stopped_at TEXT",
    "ALTER TABLE identity ADD COLUMN stop_reason TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE authorization ADD COLUMN withdrawn_at TEXT",
    """CREATE TABLE probe (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        started_at TEXT NOT NULL,
        due_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX probe_started ON probe (started_at)",
]

# One thing asked for many clients: who asked what, and what became of each. A client's row waits, is asked (its intent
# stands on the authorisation), and ends.
_BULK = [
    """CREATE TABLE bulk_run (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        operator_id INTEGER NOT NULL REFERENCES operator(id),
        identity_id INTEGER REFERENCES identity(id),
        begun_at TEXT NOT NULL,
        ended_at TEXT,
        stopped_by INTEGER REFERENCES operator(id),
        silent_since TEXT,
        next_probe TEXT
    ) STRICT""",
    "CREATE INDEX bulk_run_open ON bulk_run (id) WHERE ended_at IS NULL",
    """CREATE TABLE bulk_client (
        run_id INTEGER NOT NULL REFERENCES bulk_run(id),
        client_id INTEGER NOT NULL REFERENCES client(id),
        place INTEGER NOT NULL,
        operator_id INTEGER NOT NULL REFERENCES operator(id),
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'asked', 'done', 'refused', 'skipped', 'stopped')),
        attempts INTEGER NOT NULL DEFAULT 0,
        asked_at TEXT,
        ended_at TEXT,
        outcome TEXT NOT NULL DEFAULT '',
        reason_code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run_id, client_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX bulk_client_open ON bulk_client (run_id, state) WHERE state IN ('waiting', 'asked')",
]

# Changing a client's identity: the wish waits here until nothing is on the wire (F23), and until the old login has ended.
# `phase`: waiting – for the queue to settle; login – the new one is being tried; ending – the old one is ended at KSeF.
_SWITCHES = [
    """CREATE TABLE identity_switch (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        identity_id INTEGER NOT NULL REFERENCES identity(id),
        operator_id INTEGER NOT NULL REFERENCES operator(id),
        asked_at TEXT NOT NULL,
        forced INTEGER NOT NULL DEFAULT 0,
        phase TEXT NOT NULL DEFAULT 'waiting' CHECK (phase IN ('waiting', 'login', 'ending')),
        attempts INTEGER NOT NULL DEFAULT 0,
        retry_at TEXT,
        sealed_replaced BLOB
    ) STRICT""",
    "ALTER TABLE identity ADD COLUMN reserve INTEGER NOT NULL DEFAULT 0",
]

# The end of a client's service, and whether KSeF still lets the office in: `gone` NULL not asked, 0 it does, 1 it does not.
_ENDINGS = [
    """CREATE TABLE service_end (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        ended_at TEXT NOT NULL,
        method TEXT,
        gone INTEGER,
        seen_at TEXT
    ) STRICT""",
]

# What the last list from KSeF said each client grants to the office's NIP; a client that it did not name granted nothing.
_GRANTS_SEEN = [
    """CREATE TABLE grant_seen (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        rights TEXT NOT NULL,
        seen_at TEXT NOT NULL
    ) STRICT""",
]

# Employees of the office: who they are, what KSeF listed last (given to them, received from clients), and what was asked
# to be given or taken back, with how far it has come. An empty `target_nip` means all clients.
_STAFF = [
    """CREATE TABLE staff_person (
        id INTEGER PRIMARY KEY,
        subject_type TEXT NOT NULL CHECK (subject_type IN ('Pesel', 'Nip', 'Fingerprint')),
        subject_value TEXT NOT NULL,
        first_name TEXT NOT NULL,
        last_name TEXT NOT NULL,
        details TEXT NOT NULL DEFAULT '{}',
        dismissed_at TEXT,
        dismissed_by INTEGER REFERENCES operator(id),
        UNIQUE (subject_type, subject_value)
    ) STRICT""",
    """CREATE TABLE staff_grant (
        id TEXT PRIMARY KEY,
        person_id INTEGER NOT NULL REFERENCES staff_person(id),
        target_nip TEXT NOT NULL,
        scope TEXT NOT NULL,
        active INTEGER NOT NULL,
        started_at TEXT
    ) STRICT""",
    "CREATE INDEX staff_grant_person ON staff_grant (person_id)",
    """CREATE TABLE staff_received (
        nip TEXT NOT NULL,
        scope TEXT NOT NULL,
        can_delegate INTEGER NOT NULL,
        gone_at TEXT,
        PRIMARY KEY (nip, scope)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE staff_read (id INTEGER PRIMARY KEY CHECK (id = 1), read_at TEXT NOT NULL, empty INTEGER NOT NULL) STRICT",
    """CREATE TABLE staff_order (
        id INTEGER PRIMARY KEY,
        client_id INTEGER NOT NULL REFERENCES client(id),
        act TEXT NOT NULL CHECK (act IN ('grant', 'revoke', 'read')),
        person_id INTEGER REFERENCES staff_person(id),
        target_nip TEXT NOT NULL DEFAULT '',
        scopes TEXT NOT NULL DEFAULT '[]',
        grant_id TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL CHECK (state IN ('wanted', 'sent', 'unknown', 'done', 'failed')),
        reference TEXT NOT NULL DEFAULT '',
        reason_code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        asked_by INTEGER NOT NULL REFERENCES operator(id),
        asked_at TEXT NOT NULL,
        sent_at TEXT,
        changed_at TEXT NOT NULL,
        change_seq INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX staff_order_pending ON staff_order (client_id) WHERE state IN ('wanted', 'sent', 'unknown')",
    "CREATE INDEX staff_order_change ON staff_order (change_seq)",
    *_feed("staff_order"),
]

# (name, statements), in order; the number of a step is its place, counted from 1.
STEPS: list[tuple[str, list[str]]] = [
    ("office", [*_OFFICE, *_feed("client"), *_feed("authorization")]),
    ("invoices", [*_INVOICES, *_feed("invoice")]),
    ("records", _RECORDS),
    ("signatures", _SIGNATURES),
    ("vault", _VAULT),
    ("certificates", _CERTIFICATES),
    ("standing", _STANDING),
    ("bulk", _BULK),
    ("switches", _SWITCHES),
    ("endings", _ENDINGS),
    ("grants_seen", _GRANTS_SEEN),
    ("onboarding", _ONBOARDING),
    ("staff", _STAFF),
]
