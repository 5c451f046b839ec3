"""The sandbox as a process, and a small client of its own to talk to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from sandbox_crypto import Identity, auth_document, b64, encrypt, random_key, seal, sha, sign, wrap_key

PATIENCE = 15.0


class DidNotStart(Exception):
    """The process ended with this status instead of saying where it listens."""


class Process:
    """`python -m ksef_tui.sandbox` on a free port."""

    def __init__(
        self, folder: Path, *, delay: int = 0, limits: str = "off", record: Path | None = None, host: str = ""
    ):
        arguments = ["--port", "0", "--data-dir", str(folder), "--limits", limits, "--delay", str(delay)]
        if host:
            arguments += ["--url-host", host]
        if record is not None:
            arguments += ["--record", str(record)]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "ksef_tui.sandbox", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self._child.stdout is not None
        self.url = self._child.stdout.readline().strip()
        if not self.url.startswith("http://127.0.0.1:"):
            raise DidNotStart(self._end())

    def kill(self) -> None:
        """As the power cut does."""
        self._child.kill()
        self._end()

    def stop(self) -> int:
        self._child.send_signal(signal.SIGTERM)
        return self._end()

    def end(self) -> None:
        """However it stands with it."""
        if self._child.poll() is None:
            self.kill()

    def _end(self) -> int:
        status = self._child.wait(PATIENCE)
        self._child.stdout.close()
        return status


def until(read, good):
    """What `read` gives once `good` says so; the server's state is the only thing that can be asked."""
    deadline = time.monotonic() + PATIENCE
    while not good(found := read()):
        assert time.monotonic() < deadline, f"still {found}"
        time.sleep(0.01)
    return found


@dataclass
class Session:
    ref: str
    key: bytes
    vector: bytes


class Sandbox:
    """Calls below /v2, and the sandbox's own switches."""

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False, verify=False)

    def close(self) -> None:
        self.http.close()

    def call(self, method: str, path: str, token: str | None = None, **options) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.request(method, f"/v2{path}", headers=headers, **options)

    def get(self, path: str, token: str | None = None, **options) -> httpx.Response:
        return self.call("GET", path, token, **options)

    def post(self, path: str, token: str | None = None, body=None, **options) -> httpx.Response:
        return self.call("POST", path, token, json=body, **options)

    def fault(self, name: str, **fields) -> None:
        response = self.http.post("/_sandbox/faults", json={"fault": name, **fields})
        assert response.status_code == 200, response.text

    def calm(self) -> None:
        assert self.http.delete("/_sandbox/faults").status_code == 204

    def state(self) -> dict:
        return self.http.get("/_sandbox/state").json()

    # logging in

    def challenge(self) -> dict:
        return self.post("/auth/challenge").json()

    def start(
        self, who: Identity, nip: str, *, query: str = "", document: dict | None = None, **form
    ) -> httpx.Response:
        text = auth_document(self.challenge()["challenge"], nip, **(document or {}))
        return self.submit(sign(text, who, **form), query)

    def submit(self, content: bytes, query: str = "") -> httpx.Response:
        headers = {"Content-Type": "application/xml"}
        return self.call("POST", f"/auth/xades-signature{query}", content=content, headers=headers)

    def outcome(self, started: httpx.Response) -> dict:
        """The terminal status of a login."""
        assert started.status_code == 202, started.text
        body = started.json()
        token = body["authenticationToken"]["token"]
        read = lambda: self.get(f"/auth/{body['referenceNumber']}", token).json()["status"]  # noqa: E731
        return until(read, lambda status: status["code"] != 100)

    def redeem(self, started: httpx.Response) -> dict:
        status = self.outcome(started)
        assert status["code"] == 200, status
        response = self.post("/auth/token/redeem", started.json()["authenticationToken"]["token"])
        assert response.status_code == 200, response.text
        return response.json()

    def login(self, who: Identity, nip: str) -> str:
        return self.redeem(self.start(who, nip))["accessToken"]["token"]

    def owner(self, nip: str) -> str:
        return self.login(seal(nip), nip)

    def key(self, usage: str) -> dict:
        return next(k for k in self.get("/security/public-key-certificates").json() if usage in k["usage"])

    def start_with_token(self, secret: str, nip: str, **changes) -> httpx.Response:
        challenge, key = self.challenge(), self.key("KsefTokenEncryption")
        plain = f"{secret}|{changes.pop('stamp', challenge['timestampMs'])}".encode()
        body = {
            "challenge": challenge["challenge"],
            "contextIdentifier": {"type": "Nip", "value": nip},
            "encryptedToken": wrap_key(key["certificate"], changes.pop("plain", plain)),
            "publicKeyId": key["publicKeyId"],
        }
        return self.post("/auth/ksef-token", body={**body, **changes})

    # sending

    def open(self, token: str, **changes) -> Session:
        response, session = self.try_open(token, **changes)
        assert response.status_code == 201, response.text
        session.ref = response.json()["referenceNumber"]
        return session

    def try_open(self, token: str, *, headers=None, form=None, **encryption) -> tuple[httpx.Response, Session]:
        public = self.key("SymmetricKeyEncryption")
        key, vector = random_key()
        body = {
            "formCode": form or {"systemCode": "FA (3)", "schemaVersion": "1-0E", "value": "FA"},
            "encryption": {
                "encryptedSymmetricKey": wrap_key(public["certificate"], key),
                "initializationVector": b64(vector),
                "publicKeyId": public["publicKeyId"],
                **encryption,
            },
        }
        return self.post("/sessions/online", token, body, headers=headers or {}), Session("", key, vector)

    def try_send(self, token: str, session: Session, plain: bytes, **changes) -> httpx.Response:
        content = changes.pop("content", None) or encrypt(plain, session.key, session.vector)
        body = {
            "invoiceHash": sha(plain),
            "invoiceSize": len(plain),
            "encryptedInvoiceHash": sha(content),
            "encryptedInvoiceSize": len(content),
            "encryptedInvoiceContent": b64(content),
            "offlineMode": False,
            **changes,
        }
        return self.post(f"/sessions/online/{session.ref}/invoices", token, body)

    def send(self, token: str, session: Session, plain: bytes, **changes) -> str:
        response = self.try_send(token, session, plain, **changes)
        assert response.status_code == 202, response.text
        return response.json()["referenceNumber"]

    def invoice(self, token: str, session: Session, ref: str) -> dict:
        """The invoice once it is judged."""
        read = lambda: self.get(f"/sessions/{session.ref}/invoices/{ref}", token).json()  # noqa: E731
        return until(read, lambda item: item["status"]["code"] >= 200)

    def judged(self, token: str, plain: bytes, session: Session | None = None, **changes) -> dict:
        session = session or self.open(token)
        return self.invoice(token, session, self.send(token, session, plain, **changes))

    def close_session(self, token: str, session: Session) -> dict:
        """Close, and the terminal status."""
        response = self.post(f"/sessions/online/{session.ref}/close", token)
        assert response.status_code == 204, response.text
        read = lambda: self.get(f"/sessions/{session.ref}", token).json()  # noqa: E731
        return until(read, lambda body: body["status"]["code"] >= 200)
