"""The official OpenAPI document of KSeF 2.7.0 as a strict judge of requests and answers.

Strict: an object with declared properties takes no others. What the digest of facts documents of 2.8–2.9 is in
`ADDITIONS` and `VALUES`. The document itself is not a part of this repository; without it `available()` says so.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import re
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

DOCUMENT = Path(__file__).parents[2] / "shared" / "ksef" / "open-api-2.7.0.json"

# schema: properties that later versions added, with their version
ADDITIONS: dict[str, dict[str, Any]] = {
    "EffectiveApiRateLimits": {  # 2.8.0
        name: {"$ref": "#/components/schemas/EffectiveApiRateLimitValues"}
        for name in ("onlineSessionClose", "batchSessionClose", "anonymous", "global")
    },
    "EffectiveContextLimits": {  # 2.7.1
        "collectiveIdentifier": {
            "type": "object",
            "required": ["maxInvoices"],
            "properties": {"maxInvoices": {"type": "integer"}},
        }
    },
    "QueryPersonalPermissionsResponse": {  # 2.9.0
        "ownerPermissions": {"type": "array", "items": {"$ref": "#/components/schemas/PersonPermissionScope"}}
    },
}

# schema: values that later versions added to an enumeration, with their version
VALUES: dict[str, tuple[str, ...]] = {
    "EntityPermissionType": ("CollectiveIdentifierManage",),  # 2.8.1
    "EntityPermissionItemScope": ("CollectiveIdentifierManage",),  # 2.8.1
    "IndirectPermissionType": ("CollectiveIdentifierManage",),  # 2.8.1
}

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)")
_formats = FormatChecker(formats=[])


@_formats.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or (_DATE_TIME.fullmatch(value) and bool(datetime.fromisoformat(value)))


@_formats.checks("date", raises=ValueError)
def _is_day(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


@_formats.checks("byte", raises=(binascii.Error, ValueError))
def _is_base64(value: object) -> bool:
    return not isinstance(value, str) or base64.b64decode(value, validate=True) is not None


@_formats.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"https?://[^/\s]+/\S*", value) is not None


@_formats.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


def available() -> bool:
    """Whether the official document is on this machine."""
    return DOCUMENT.is_file()


def _strict(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable` as a type, no properties but the declared ones."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: value if key in ("enum", "required") else _strict(value) for key, value in schema.items()}
    properties = schema.get("properties")
    if isinstance(properties, dict) and "type" in schema and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


@cache
def _document() -> dict[str, Any]:
    document = json.loads(DOCUMENT.read_text("utf-8"))
    schemas = document["components"]["schemas"]
    for name, properties in ADDITIONS.items():
        schemas[name]["properties"].update(copy.deepcopy(properties))
    for name, values in VALUES.items():
        schemas[name]["enum"] += values
    document["components"] = {"schemas": {name: _strict(schema) for name, schema in schemas.items()}}
    return document


@cache
def _operations() -> list[tuple[str, re.Pattern[str], int, dict[str, Any]]]:
    """Method, path pattern, number of parameters and definition; fewer parameters match first."""
    found = []
    for path, methods in _document()["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for method, operation in methods.items():
            if method in ("get", "post", "put", "delete"):
                found.append((method.upper(), pattern, path.count("{"), operation))
    return sorted(found, key=lambda item: item[2])


def _find(method: str, path: str) -> dict[str, Any] | None:
    below = path.removeprefix("/v2")
    return next((op for m, pattern, _, op in _operations() if m == method and pattern.fullmatch(below)), None)


def _errors(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    whole = {**_strict(copy.deepcopy(schema)), "components": _document()["components"]}
    validator = Draft202012Validator(whole, format_checker=_formats)
    return [
        f"{where} {'/'.join(map(str, error.absolute_path)) or '.'}: {error.message[:300]}"
        for error in validator.iter_errors(value)
    ]


def check_exchange(
    method: str,
    path: str,
    request_json: Any,
    status: int,
    response_json: Any,
    *,
    requests: bool = True,
) -> list[str]:
    """What is wrong with one exchange by the strict document; an empty list is what one wants.

    `path` with or without /v2, no query. Bodies that are not JSON (XML) are given as None and not looked at.
    `requests=False` leaves the request out, for requests that are wrong on purpose.
    """
    operation = _find(method.upper(), path)
    if operation is None:
        return [f"{method} {path}: no such operation"]
    found = []
    if requests:
        found += _request_errors(operation, request_json)
    answer = operation["responses"].get(str(status))
    if answer is None:
        return [*found, f"{method} {path}: status {status} is not declared"]
    return [f"{method} {path} {line}" for line in [*found, *_response_errors(answer, status, response_json)]]


def _request_errors(operation: dict[str, Any], body: Any) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        return _errors(content["application/json"]["schema"], body, "request")
    if body is not None:
        return ["request: a body is not declared"]
    return []


def _response_errors(answer: dict[str, Any], status: int, body: Any) -> list[str]:
    content = answer.get("content", {})
    if not content:
        return [] if body is None else [f"{status}: a body is not declared"]
    if "application/xml" in content:
        return [] if body is None else [f"{status}: JSON instead of XML"]
    legacy = isinstance(body, dict) and ("exception" in body or isinstance(body.get("status"), dict))
    problem = "application/problem+json"
    kind = problem if problem in content and not (status in (400, 429) and legacy) else "application/json"
    return _errors(content[kind]["schema"], body, str(status))
