"""Hostile HTTP requests made from the API's own description; the same seed gives the same requests."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

HOSTILE: tuple[str, ...] = (
    "", " ", "\0", "a\0b", "\r\nSet-Cookie: x=1", "\n", "../../etc/passwd", "..%2f..%2f", "%2e%2e", "%",
    "%00", "%ff%fe", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' OR 1=1 --",
    "1; DROP TABLE contacts", "\\x00", "{{7*7}}", "${jndi:ldap://x}", "=cmd|'/c calc'!A0", "\u202e\u2066",
    "\ud7ff\ufffe", "é" * 300, "A" * 5_000, "-1", "0", "1e309", "NaN", "inf", "-inf", "1_000", "０", "٣",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "99999999999999999999999999999",
    "0x10", "1.5", "true", "null", "[]", "{}", "nan,nan,nan,nan", "1,2,3,4,5", "-180,-90,180,90",
    "180,-90,-180,90", "1e400,0,1,1", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999+14:00", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z",
    "2026-06-30T23:59:60Z", "2026-01-01T00:00:00+99:99", "2026-W01-1T00:00:00Z", "c-s17", "chip-secret",
)  # fmt: skip
_METHODS = ("GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `path` is percent-encoded already."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def requests(description: Mapping[str, Any], count: int, seed: int) -> Iterator[Request]:
    """`count` requests to the operations of an OpenAPI description, each with hostile values."""
    source = random.Random(seed)
    operations = [
        (path, method.upper(), operation)
        for path, methods in sorted(description["paths"].items())
        for method, operation in sorted(methods.items())
    ]
    for number in range(count):
        path, method, operation = operations[number % len(operations)]
        if source.random() < 0.15:
            method = source.choice(_METHODS)
        yield _request(source, path, method, operation)


def _request(source: random.Random, path: str, method: str, operation: Mapping[str, Any]) -> Request:
    query: list[str] = []
    headers: dict[str, str] = {}
    for parameter in operation.get("parameters", []):
        name, place = parameter["name"], parameter["in"]
        value = _value(source)
        if place == "path":
            path = path.replace("{" + name + "}", quote(value, safe="") or "%20")
        elif place == "query" and source.random() < 0.6:
            query += [f"{quote(name)}={quote(value, safe=source.choice(['', ',:']))}"] * source.choice(
                (1, 1, 2)
            )
        elif place == "header" and source.random() < 0.6:
            headers[name] = "".join(one for one in value if " " <= one <= "\xff")[:4_000].strip()
    if source.random() < 0.1:
        query.append(quote(_value(source), safe="&="))
    body = b""
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        headers["Content-Type"] = source.choice(
            ("application/json", "application/json", "text/plain", "multipart/form-data", "x")
        )
        body = _body(source)
    whole = path + ("?" + "&".join(query) if query else "")
    return Request(method, whole[:60_000], headers, body)


def _value(source: random.Random) -> str:
    draw = source.random()
    if draw < 0.7:
        return source.choice(HOSTILE)
    if draw < 0.85:
        return source.choice(HOSTILE) + source.choice(HOSTILE)
    return "".join(
        chr(source.choice((source.randrange(1, 128), source.randrange(0xD7FF)))) for _ in range(12)
    )


def _body(source: random.Random) -> bytes:
    draw = source.random()
    if draw < 0.15:
        return b"[" * source.randrange(1, 12_000)
    if draw < 0.3:
        return source.randbytes(source.randrange(1, 400))
    if draw < 0.35:
        return b"x" * 20_000
    keys = ("name", "password", "code", "old", "new", "role", "__proto__")
    made: Any = {
        source.choice(keys): source.choice(
            (_value(source), None, 1, 1e308, True, [_value(source)], {"a": _value(source)})
        )
        for _ in range(3)
    }
    return json.dumps(made).encode()
