"""What of a client only the login that sent it can follow (F23): the reason why its identity changes late, or never."""

from __future__ import annotations

from dataclasses import dataclass

from ksef_tui.domain.text import count_of
from ksef_tui.services.office import Office
from ksef_tui.store import offices


@dataclass(frozen=True, slots=True)
class Behind:
    """What another subject could not read any more: numbers of invoices without a result, of accepted ones without
    their UPO, and how many sessions are not closed yet."""

    without_result: tuple[str, ...] = ()
    without_upo: tuple[str, ...] = ()
    open_sessions: int = 0

    def __bool__(self) -> bool:
        return bool(self.without_result or self.without_upo or self.open_sessions)

    @property
    def words(self) -> str:
        """`3 faktury w drodze, 2 UPO`, in Polish; empty when nothing is left."""
        sent, receipts = len(self.without_result), len(self.without_upo)
        said = [count_of(sent, "faktura w drodze", "faktury w drodze", "faktur w drodze")] if sent else []
        said += [f"{receipts} UPO"] if receipts else []
        return ", ".join(said) or ("zamykana sesja" if self.open_sessions else "")


def left_behind(office: Office, client_id: int, subject: str | None) -> Behind:
    """What could not be followed after a change to `subject` (`Nip:…`, `Pesel:…`; None: not known yet, so everything).

    The owner of the context may follow what anybody sent there; others only what they sent themselves. A session
    whose opener KSeF's token did not name keeps nobody waiting.
    """
    client = offices.client(office.db, client_id)
    if client is not None and subject == f"Nip:{client['nip']}":
        return Behind()
    rows = office.db.rows(
        "SELECT v.number, v.state FROM invoice v LEFT JOIN session s ON s.id = v.session_id WHERE v.client_id = :client "
        "AND (v.state IN ('sending', 'unknown', 'processing') OR (v.state = 'accepted' AND v.upo IN ('none', 'late'))) "
        "AND (:subject IS NULL OR ifnull(s.subject, '') NOT IN ('', :subject)) ORDER BY v.id",
        {"client": client_id, "subject": subject},
    )
    sessions = office.db.value(
        "SELECT count(*) FROM session WHERE client_id = :client AND state IN ('opening', 'open', 'closing') "
        "AND subject <> '' AND subject <> :subject",
        {"client": client_id, "subject": subject},
    )
    return Behind(
        tuple(row["number"] for row in rows if row["state"] != "accepted"),
        tuple(row["number"] for row in rows if row["state"] == "accepted"),
        sessions,
    )
