"""Where Enter leads from what needs a person: to exactly those invoices, to the client's authorisation, to those clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksef_tui.domain.situations import Pane
from ksef_tui.domain.today import BY_KIND
from ksef_tui.tui.today import ON_INVOICES

if TYPE_CHECKING:
    from ksef_tui.tui.main import MainScreen


def open_today(screen: MainScreen) -> None:
    """Show what the row under the cursor is about; Esc leads back to it."""
    item = screen.today.current
    if item is None:
        return
    client_id, label = item.client, BY_KIND[item.kind].badge.label
    if item.kind in ON_INVOICES:
        screen.queue.widen_all()
        screen.queue.narrow(client_id, item.name if client_id is not None else "", item.invoices, label)
        screen.show(Pane.QUEUE, home=Pane.TODAY)
    elif client_id is not None:
        if not screen.clients.list.go_to(client_id):
            screen.clients.seek(client_id)
        screen.authorization.select(client_id)
        screen.show(Pane.AUTHORIZATION, home=Pane.TODAY)
    else:
        screen.clients.end_filter(clear=True)
        screen.clients.only(frozenset(item.clients), f"{label}: {item.name}")
        screen.show(Pane.CLIENTS, home=Pane.TODAY)
