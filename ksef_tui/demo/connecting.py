"""The client that is seen connecting: KSeF takes minutes to judge its login, and when it is through it begins again.

The login runs here and not in the worker, which would have to wait for its end when the screen is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from ksef_tui.demo import rights
from ksef_tui.demo.cast import Member, Part
from ksef_tui.demo.ministry import Switches
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.domain.times import from_text
from ksef_tui.services import authorising, clients
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations, leases, offices

REST_SECONDS = 45.0  # from the end of one login to the beginning of the next
PATIENCE = 300.0
STOP_PATIENCE = 2.0


class Login(threading.Thread):
    """Carries out what was asked for one client, until it is done or stopped."""

    def __init__(self, office: Office, client_id: int) -> None:
        super().__init__(name="login", daemon=True)
        self._office = office
        self._client_id = client_id
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """One login."""
        from ksef_tui.ksef.errors import KsefError
        from ksef_tui.services.own_work import carry_out

        self._task = self._loop.create_task(carry_out(self._office, self._client_id, patience=PATIENCE))
        with contextlib.suppress(asyncio.CancelledError, Problem, KsefError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def stop(self) -> None:
        """Break it off; what was asked for stays asked for."""
        task = self._task
        if task is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(task.cancel)
        self.join(STOP_PATIENCE)


class Connecting:
    """Keeps the login of the client with that part going."""

    def __init__(self, office: Office, members: list[Member], switches: Switches) -> None:
        self._office = office
        self._member = next((m for m in members if m.part is Part.CONNECTING), None)
        self._switches = switches
        self._login: Login | None = None

    def beat(self, operator: Operator, faults: list[dict[str, Any]]) -> bool:
        """Begin a login when none runs; whether the next login that reaches KSeF should be this one.

        During an outage none is begun: it would fail, not run.
        """
        awaited = any(fault["fault"] == "slow" and fault["times"] for fault in faults)
        outage = any(fault["fault"] == "outage" for fault in faults)
        if self._member is None or outage or (self._login is not None and self._login.is_alive()):
            return awaited
        client_id = clients.id_of(self._office, self._member.nip)
        row = authorizations.get(self._office.db, client_id)
        if row["state"] == AuthState.RUNNING and row["intent"]:
            if not leases.holders(self._office.db, f"client:{client_id}"):
                self._begin(client_id, awaited)
                return True
        elif row["state"] in (AuthState.ACTIVE, AuthState.FAILED) and row["checked_at"]:
            rested = (self._office.clock() - from_text(row["checked_at"])).total_seconds()
            identity = offices.identity_by_label(self._office.db, rights.MAIN)
            if rested > REST_SECONDS and identity is not None:
                authorising.start_with_identity(self._office, operator, client_id, identity["id"])
                self._begin(client_id, awaited)
                return True
        return awaited

    def _begin(self, client_id: int, awaited: bool) -> None:
        if not awaited:
            self._switches.put("slow", **rights.slow_login())
        self._login = Login(self._office, client_id)
        self._login.start()

    def stop(self) -> None:
        """Leave the login to whoever comes next."""
        if self._login is not None:
            self._login.stop()
