"""The sandbox as a process of its own, and the switches that tests use."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

DELAY_MS = 20
PATIENCE = 30.0
SEND = "POST /v2/sessions/online/{reference}/invoices"
OPEN = "POST /v2/sessions/online"
CLOSE = "POST /v2/sessions/online/{reference}/close"
SIGNED_LOGIN = "POST /v2/auth/xades-signature"
TOKEN_LOGIN = "POST /v2/auth/ksef-token"
REFRESH = "POST /v2/auth/token/refresh"

# What faults strike, as `match`.
SENDING = {"method": "POST", "path": "^/v2/sessions/online/[^/]+/invoices$"}
CLOSING = {"method": "POST", "path": "/close$"}
OPENING = {"method": "POST", "path": "^/v2/sessions/online$"}
ASKING = {"method": "GET", "path": "^/v2/sessions/"}
RECEIPTS = {"method": "GET", "path": "upo"}


class Process:
    """`python -m ksef_tui.sandbox` on a free port, or on the one it had."""

    def __init__(self, folder: Path, *, port: int = 0, limits: str = "off", delay: int = DELAY_MS) -> None:
        self.folder = folder
        arguments = ["--port", str(port), "--data-dir", str(folder), "--delay", str(delay), "--limits", limits]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "ksef_tui.sandbox", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        self.url = self._child.stdout.readline().strip()
        if not self.url.startswith("http://127.0.0.1:"):
            self.stop()
            raise AssertionError(f"no address but {self.url!r}")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Ends it, whether it runs or not."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(PATIENCE)
        finally:
            if self._child.poll() is None:
                os.kill(self._child.pid, signal.SIGKILL)
                self._child.wait()
            self._child.stdout.close()


class Ministry:
    """Calls that only the far end can make: troubles, what it holds, what it lets whom do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)
        self._before = Counter(self._state()["posts"])

    def close(self) -> None:
        self._http.close()

    def fault(self, name: str, **fields: Any) -> None:
        """A trouble from now on: times, probability, match, params as the sandbox knows them."""
        response = self._http.post("/_sandbox/faults", json={"fault": name, **fields})
        assert response.status_code == 200, response.text

    def calm(self) -> None:
        assert self._http.delete("/_sandbox/faults").status_code == 204

    def store_all(self) -> None:
        """What has a number is stored from now on, and seen by everybody."""
        assert self._http.post("/_sandbox/storage").status_code == 204

    def struck(self, name: str) -> int:
        """How often a trouble that is still on has happened."""
        return sum(f["happened"] for f in self._http.get("/_sandbox/faults").json() if f["fault"] == name)

    def _state(self) -> dict[str, Any]:
        return self._http.get("/_sandbox/state").json()

    def posts(self, template: str) -> int:
        """How many of these calls were handled since this test began."""
        return self._state()["posts"].get(template, 0) - self._before[template]

    def refused_by_limits(self) -> int:
        """How many calls of anybody were answered with 429 since the sandbox started."""
        return self._state()["too_many_requests"]

    def in_ksef(self) -> list[dict[str, Any]]:
        """All invoices that have a KSeF number."""
        found: list[dict[str, Any]] = self._state()["invoices"]
        return found

    def numbered(self, nip: str) -> list[dict[str, Any]]:
        """The invoices of a seller that have a KSeF number."""
        return [row for row in self.held() if row["seller"] == nip]

    def held(self) -> list[dict[str, Any]]:
        """All invoices that have a KSeF number."""
        return self._state()["invoices"]

    def holds(self, document: bytes) -> list[dict[str, Any]]:
        """What KSeF has of exactly these bytes."""
        digest = base64.b64encode(hashlib.sha256(document).digest()).decode()
        return [row for row in self.held() if row["hash"] == digest]

    def refreshes(self, token: str) -> int:
        """The status of the answer to a refresh: 200 while that login lives."""
        return self._http.post("/v2/auth/token/refresh", headers={"Authorization": f"Bearer {token}"}).status_code

    def certificate_limits(self, access: str, **most: int) -> None:
        """Other limits for the one who is logged in: `enrollment` and `certificate`."""
        names = {"enrollment": "maxEnrollments", "certificate": "maxCertificates"}
        body = {group: {names[group]: count} for group, count in most.items()}
        headers = {"Authorization": f"Bearer {access}"}
        response = self._http.post("/v2/testdata/limits/subject/certificate", json=body, headers=headers)
        assert response.status_code == 200, response.text

    def rate_limits(self, access: str, **limits: tuple[int, int, int]) -> None:
        """Other limits for the context that is logged in: group = per second, minute, hour; the rest as in production."""
        headers = {"Authorization": f"Bearer {access}"}
        now = self._http.get("/v2/rate-limits", headers=headers).json()
        own = {name for name in now if name.endswith("Close")} | {"anonymous", "global"}
        groups = {name: now[name] for name in now if name not in own}
        for name, (second, minute, hour) in limits.items():
            groups[name] = {"perSecond": second, "perMinute": minute, "perHour": hour}
        response = self._http.post("/v2/testdata/rate-limits", json={"rateLimits": groups}, headers=headers)
        assert response.status_code == 200, response.text

    def received(self) -> list[dict[str, Any]]:
        """Every document that was ever sent (its hash), in whose context, and what became of it."""
        return self._state()["received"]

    def logins(self) -> list[dict[str, Any]]:
        """Every login: its context and subject, its code, and whose KSeF token it was by."""
        return self._state()["logins"]

    def _testdata(self, path: str, **body: Any) -> None:
        response = self._http.post(f"/v2/testdata/{path}", json=body)
        assert response.status_code == 200, response.text

    def grant(self, client: str, to: str, *rights: str, kind: str = "Nip") -> None:
        """The client grants rights to a NIP or a PESEL."""
        permissions = [{"permissionType": right, "description": "obsługa księgowa"} for right in rights]
        self._testdata("permissions", **_between(client, kind, to), permissions=permissions)

    def take_back(self, client: str, to: str, kind: str = "Nip") -> None:
        """The client takes everything back."""
        self._testdata("permissions/revoke", **_between(client, kind, to))

    def allow_attachments(self, nip: str) -> None:
        """The taxpayer declared invoices with attachments."""
        self._testdata("attachment", nip=nip)

    def block(self, nip: str) -> None:
        """Logins in this context end with 480."""
        self._testdata("context/block", contextIdentifier={"type": "Nip", "value": nip})

    def unblock(self, nip: str) -> None:
        self._testdata("context/unblock", contextIdentifier={"type": "Nip", "value": nip})

    def block_subject(self, value: str, kind: str = "Nip", *, blocked: bool = True) -> None:
        """Logins of this NIP or PESEL end with 480 wherever they are made, until they are let in again."""
        body = {"type": kind, "value": value, "blocked": blocked}
        assert self._http.post("/_sandbox/subjects", json=body).status_code == 204

    def own(self, nip: str, pesel: str) -> None:
        """A person owns a company: an official link, as of a sole trader."""
        self._testdata("person", nip=nip, pesel=pesel, isBailiff=False, description="właściciel")


def _between(client: str, kind: str, to: str) -> dict[str, Any]:
    return {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": kind, "value": to},
    }
