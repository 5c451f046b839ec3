"""Holds the requests of our client against the official OpenAPI document, made strict: nothing unknown may be sent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "ksef" / "open-api-2.7.0.json"


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _strict(value) for key, value in schema.items()}
    if "properties" in copy and copy.get("type") == "object":
        copy["additionalProperties"] = False
    if copy.pop("nullable", False):
        return {"anyOf": [copy, {"type": "null"}]}
    return copy


class Contract:
    """The requests that the document allows."""

    def __init__(self) -> None:
        document = json.loads(DOCUMENT.read_text("utf-8"))
        self._components = _strict(document["components"])
        self._operations = [
            (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation)
            # Fixed addresses first: /auth/sessions is not /auth/{reference}.
            for path, operations in sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
            for method, operation in operations.items()
        ]

    def knows(self, method: str, template: str) -> bool:
        """Whether there is such a call; the names of its parameters do not matter."""
        path = re.sub(r"\{\w+\}", "x", template)
        return any(method == known and pattern.fullmatch(path) for known, pattern, _ in self._operations)

    def check(self, request: httpx.Request) -> None:
        """Raises AssertionError or jsonschema.ValidationError for a request that the document does not allow."""
        path = request.url.path.removeprefix("/v2")
        found = [o for method, pattern, o in self._operations if method == request.method and pattern.fullmatch(path)]
        assert found, f"{request.method} {path} is not in the document"
        operation = found[0]
        parameters = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        given = dict(request.url.params)
        assert set(given) <= set(parameters), f"{path}: unknown parameters {set(given) - set(parameters)}"
        assert {n for n, p in parameters.items() if p.get("required")} <= set(given), f"{path}: a parameter is missing"
        for name, value in given.items():
            schema = parameters[name]["schema"]
            self._validate(int(value) if schema.get("type") == "integer" else value, schema)
        self._check_body(request, operation)

    def _check_body(self, request: httpx.Request, operation: dict[str, Any]) -> None:
        content = operation.get("requestBody", {}).get("content")
        if not content:
            assert request.content == b"", f"{request.url.path} takes no body"
            return
        kind = request.headers["content-type"]
        assert kind in content, f"{request.url.path} takes {list(content)}, not {kind}"
        if kind == "application/json":
            self._validate(json.loads(request.content), content[kind]["schema"])

    def _validate(self, value: object, schema: dict[str, Any]) -> None:
        whole = {"components": self._components, **_strict(schema)}
        jsonschema.Draft202012Validator(whole).validate(value)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """The network, but for requests that the document does not allow."""

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self._contract = contract

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v2/"):  # files from handed-out addresses are not in the document
            self._contract.check(request)
        return await super().handle_async_request(request)
