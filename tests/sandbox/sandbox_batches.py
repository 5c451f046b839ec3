"""Packages of invoices in the tests' own hand: packed, split, encrypted, opened, uploaded, closed."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass, field

import httpx
from sandbox_client import Sandbox, until
from sandbox_crypto import b64, encrypt, random_key, sha, wrap_key

FORM = {"systemCode": "FA (3)", "schemaVersion": "1-0E", "value": "FA"}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return stream.getvalue()


def tarred(files: dict[str, bytes], *links: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as package:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
        for name in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            package.addfile(entry)
    return stream.getvalue()


@dataclass
class Batch:
    """A package as it goes over the wire; `body` is the request that opens it."""

    ref: str
    parts: list[bytes]
    requests: list[dict] = field(default_factory=list)


def prepare(ksef: Sandbox, archive: bytes, *, parts: int = 1, compression: str | None = "Zip", vector: bytes = b""):
    """The request that opens a session for the archive, and its encrypted parts."""
    public, (key, own) = ksef.key("SymmetricKeyEncryption"), random_key()
    size = -(-len(archive) // parts)
    encrypted = [encrypt(archive[at : at + size], key, vector or own) for at in range(0, len(archive), size)]
    file = {
        "fileSize": len(archive),
        "fileHash": sha(archive),
        "fileParts": [
            {"ordinalNumber": n, "fileSize": len(part), "fileHash": sha(part)} for n, part in enumerate(encrypted, 1)
        ],
    }
    body = {
        "formCode": dict(FORM),
        "batchFile": file | ({"compressionType": compression} if compression else {}),
        "encryption": {
            "encryptedSymmetricKey": wrap_key(public["certificate"], key),
            "initializationVector": b64(own),
            "publicKeyId": public["publicKeyId"],
        },
    }
    return body, encrypted


def opened(ksef: Sandbox, token: str, archive: bytes, *, change=None, **options) -> Batch:
    """`change` may spoil the request before it is sent."""
    body, parts = prepare(ksef, archive, **options)
    if change:
        change(body)
    response = ksef.post("/sessions/batch", token, body)
    assert response.status_code == 201, response.text
    answer = response.json()
    return Batch(answer["referenceNumber"], parts, answer["partUploadRequests"])


def put(ksef: Sandbox, request: dict, content: bytes, **changes) -> httpx.Response:
    """One part to its URL, whatever host the URL names."""
    url = ksef.http.base_url.join(httpx.URL(changes.pop("url", request["url"])).raw_path.decode())
    headers = changes.pop("headers", request["headers"])
    return ksef.http.request(request["method"], url, content=content, headers=headers, **changes)


def upload(ksef: Sandbox, batch: Batch) -> None:
    for request, part in zip(batch.requests, batch.parts, strict=True):
        response = put(ksef, request, part)
        assert response.status_code == 201, response.text


def close(ksef: Sandbox, token: str, batch: Batch) -> httpx.Response:
    return ksef.post(f"/sessions/batch/{batch.ref}/close", token)


def ended(ksef: Sandbox, token: str, batch: Batch) -> dict:
    """The session once it is terminal."""
    read = lambda: ksef.get(f"/sessions/{batch.ref}", token).json()  # noqa: E731
    return until(read, lambda body: body["status"]["code"] >= 200)


def sent(ksef: Sandbox, token: str, archive: bytes, **options) -> tuple[Batch, dict]:
    """All the way: the batch and its terminal status."""
    batch = opened(ksef, token, archive, **options)
    upload(ksef, batch)
    response = close(ksef, token, batch)
    assert response.status_code == 204, response.text
    return batch, ended(ksef, token, batch)


def listed(ksef: Sandbox, token: str, batch: Batch) -> list[dict]:
    """All invoices of the session, page by page."""
    items, headers = [], {}
    while True:
        page = ksef.get(f"/sessions/{batch.ref}/invoices?pageSize=1000", token, headers=headers).json()
        items += page["invoices"]
        if "continuationToken" not in page:
            return items
        headers = {"x-continuation-token": page["continuationToken"]}
