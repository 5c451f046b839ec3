"""Steps of the schema that belong to access: signatures, certificates, visits, staff, the data key (see `schema`)."""

from __future__ import annotations

from ksef_tui.store.feed import feed

# A login that is signed elsewhere: what is to be signed, what came back, and KSeF's reference until it has judged.
SIGNATURES = [
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
ONBOARDING = [
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
VAULT = [
    "ALTER TABLE office ADD COLUMN seal_header BLOB NOT NULL DEFAULT x'01'",
    """CREATE TABLE stale_seal (
        table_name TEXT NOT NULL, column_name TEXT NOT NULL, row_id INTEGER NOT NULL,
        PRIMARY KEY (table_name, column_name, row_id)
    ) STRICT, WITHOUT ROWID""",
]

# KSeF certificates: what is known of each identity, and orders and revocations with how far they have come.
CERTIFICATES = [
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
STANDING = [
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
BULK = [
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
SWITCHES = [
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
ENDINGS = [
    """CREATE TABLE service_end (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        ended_at TEXT NOT NULL,
        method TEXT,
        gone INTEGER,
        seen_at TEXT
    ) STRICT""",
]

# What the last list from KSeF said each client grants to the office's NIP; a client that it did not name granted nothing.
GRANTS_SEEN = [
    """CREATE TABLE grant_seen (
        client_id INTEGER PRIMARY KEY REFERENCES client(id),
        rights TEXT NOT NULL,
        seen_at TEXT NOT NULL
    ) STRICT""",
]

# Employees of the office: who they are, what KSeF listed last (given to them, received from clients), and what was asked
# to be given or taken back, with how far it has come. An empty `target_nip` means all clients.
STAFF = [
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
    *feed("staff_order"),
]
