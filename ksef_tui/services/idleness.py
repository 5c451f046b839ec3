"""Whether a worker has anything left to do, now or by waiting (contract, `worker --until-idle`)."""

from __future__ import annotations

from ksef_tui.domain.authorizations import CAN_SEND
from ksef_tui.services import bulk, lineage, staff_orders, standing_identities, switch_over
from ksef_tui.services.client_views import state_of
from ksef_tui.services.office import Office
from ksef_tui.store import invoices, pauses, switches


def anything_moves(office: Office) -> bool:
    """Whether something is under way or can still move: the opposite of idle (contract, `worker`)."""
    now = office.clock()
    if office.db.value("SELECT 1 FROM authorization WHERE intent <> '' LIMIT 1") or standing_identities.waits(office):
        return True
    if bulk.is_open(office):
        return True
    if lineage.moves(office):
        return True
    if staff_orders.move_on(office):
        return True
    if any(switch_over.can_move(office, client_id, now) for client_id in switches.client_ids(office.db)):
        return True
    if office.db.value("SELECT 1 FROM client_session WHERE end_at IS NOT NULL LIMIT 1"):
        return True
    stopped = pauses.of_all(office.db) is not None
    for row in office.db.rows(_MOVING):
        state = state_of(office, row["state"], row["valid_until"], row["method"], now)
        works = state in CAN_SEND or state == "read_only"
        if works and (row["on_wire"] or row["receipts"] or row["sessions"]):
            return True
        if state in CAN_SEND and row["restored"]:  # what went out since the backup is looked for, whoever approved what
            return True
        if state in CAN_SEND and row["approved"] and not row["paused"] and not stopped:
            return True
    return False


_MOVING = f"""
SELECT a.client_id, a.state, a.valid_until, a.method, c.reconcile_since IS NOT NULL AND c.archived_at IS NULL AS restored,
  EXISTS (SELECT 1 FROM pause p WHERE p.client_id = a.client_id AND p.ended_at IS NULL) AS paused,
  CASE WHEN i.operator_id IS NULL
    THEN EXISTS (SELECT 1 FROM invoice v WHERE v.client_id = a.client_id AND v.state = 'approved' AND v.approved_by IS NOT NULL)
    ELSE (SELECT count(*) FROM invoice v JOIN operator o ON o.id = i.operator_id AND o.disabled_at IS NULL
          WHERE v.client_id = a.client_id AND v.state = 'approved' AND v.approved_by = o.id AND {invoices.RECORDED} = o.id)
  END AS approved,
  (SELECT sum(n) FROM invoice_count n WHERE n.client_id = a.client_id
     AND n.state IN ('sending', 'unknown', 'processing')) AS on_wire,
  EXISTS (SELECT 1 FROM invoice v WHERE v.client_id = a.client_id AND v.state = 'accepted' AND v.upo IN ('none', 'late')) AS receipts,
  EXISTS (SELECT 1 FROM session s WHERE s.client_id = a.client_id AND s.state NOT IN ('finished', 'lost')) AS sessions
FROM authorization a JOIN client c ON c.id = a.client_id LEFT JOIN identity i ON i.id = a.identity_id
"""  # noqa: S608 our own text
