"""The exercise's KSeF: the process of the sandbox, and its switches."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ksef_tui.demo.folder import Folder
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.services.office import Office
from ksef_tui.store import offices
from ksef_tui.store.leases import boot_id, is_alive, started_ticks

if TYPE_CHECKING:
    import httpx

START_PATIENCE = 30.0  # seconds
STOP_PATIENCE = 3.0
DELAY_MS = 900  # how long the exercise's KSeF thinks: long enough to be seen

_children: dict[int, subprocess.Popen[bytes]] = {}  # those that this process started


def running_url(folder: Folder) -> str | None:
    """The address of the sandbox that runs for this folder, or None."""
    known = folder.running()
    alive = known and is_alive(known.get("pid", 0), known.get("started", 0), known.get("boot", ""))
    return str(known["url"]) if alive else None


def start(
    folder: Folder,
    *,
    port: int,
    delay_ms: int = DELAY_MS,
    limits: str = "production",
    meanwhile: Callable[[], None] = lambda: None,
) -> str:
    """Start the sandbox on `port`, or on a free one when that is taken; its address. Raises Problem.

    `meanwhile` is done while it starts.
    """
    with folder.log.open("ab") as log:
        for wanted in dict.fromkeys((port, 0)):
            command = [
                sys.executable,
                "-m",
                "ksef_tui.demo.keeper",
                str(folder.path),
                str(wanted),
                str(delay_ms),
                limits,
            ]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
            try:
                meanwhile()
                url = _first_line(process)
                if url:
                    _children[process.pid] = process
                    known = {"pid": process.pid, "started": started_ticks(process.pid), "boot": boot_id(), "url": url}
                    folder.set_running(known)
                    return url
            finally:
                if process.pid not in _children:
                    process.kill()
                    process.wait()
    raise Problem("no_sandbox", f"Piaskownica nie wystartowała – szczegóły w {folder.log}.")


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """The address that the process prints when it accepts; empty when it ends or takes too long."""
    assert process.stdout is not None
    with process.stdout as stream:
        ready, _, _ = select.select([stream], [], [], START_PATIENCE)
        return stream.readline().decode().strip() if ready else ""


def stop(folder: Folder) -> None:
    """End the sandbox of this folder, if one runs."""
    known = folder.running()
    if running_url(folder) is not None:
        pid, end = int(known["pid"]), time.monotonic() + STOP_PATIENCE
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            while started_ticks(pid) == known["started"]:
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
        if (child := _children.pop(pid, None)) is not None:
            child.wait()
    folder.set_running(None)


def port_of(url: str) -> int:
    """The port in an address."""
    return urlsplit(url).port or 0


def set_address(opened: Office, url: str) -> None:
    """The sandbox has moved to another port: all processes that open the office from now on find it there."""
    from ksef_tui.ksef.environments import resolve

    opened.environment = resolve("sandbox", url)
    with opened.db.write() as connection:
        offices.set_api_url(connection, url)


class Switches:
    """The sandbox's own switches and test data, over HTTP on loopback."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: httpx.Client | None = None
        self._making = threading.Lock()  # the screen and the thread behind it share this

    @property
    def _http(self) -> httpx.Client:
        with self._making:
            if self._client is None:
                import httpx  # late: 100 ms that the first picture does not need

                self._client = httpx.Client(base_url=self.url, timeout=5.0, trust_env=False)
            return self._client

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()

    def faults(self) -> list[dict[str, Any]]:
        """The troubles that are on."""
        answer = self._http.get("/_sandbox/faults")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def put(self, fault: str, **more: Any) -> None:
        """Switch a trouble on: times, probability, match, params."""
        self._http.post("/_sandbox/faults", json={"fault": fault, **more}).raise_for_status()

    def calm(self) -> None:
        """Switch all troubles off."""
        self._http.delete("/_sandbox/faults").raise_for_status()

    def grant(self, client: str, office: str, *rights: str) -> None:
        """The client grants the office rights, without the right to pass them on."""
        permissions = [{"permissionType": right, "description": "obsługa księgowa"} for right in rights]
        self._testdata("permissions", _pair(client, office) | {"permissions": permissions})

    def take_back(self, client: str, office: str) -> None:
        """The client takes all rights of the office back."""
        self._testdata("permissions/revoke", _pair(client, office))

    def block(self, client: str) -> None:
        """The ministry blocks logins in the client's context (480)."""
        self._testdata("context/block", {"contextIdentifier": {"type": "Nip", "value": client}})

    def size_limit(self, token: Secret, megabytes: int) -> None:
        """How big an invoice of the context of this access token may be."""
        kind = {"maxInvoiceSizeInMB": megabytes, "maxInvoiceWithAttachmentSizeInMB": 3, "maxInvoices": 10_000}
        self._http.post(
            "/v2/testdata/limits/context/session",
            json={"onlineSession": kind, "batchSession": kind},
            headers={"Authorization": f"Bearer {token.reveal_text()}"},
        ).raise_for_status()

    def _testdata(self, path: str, body: dict[str, Any]) -> None:
        self._http.post(f"/v2/testdata/{path}", json=body).raise_for_status()


def _pair(client: str, office: str) -> dict[str, Any]:
    return {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": "Nip", "value": office},
    }
