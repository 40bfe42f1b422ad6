"""Somebody with a session at a station, as the tests over HTTP speak for them."""

import json
import urllib.error
import urllib.request
from typing import Any

from ground.accounts.roles import Role
from ground.serve import GroundHandle


class Person:
    """Somebody with a session of their own."""

    def __init__(self, ground: GroundHandle, name: str, role: Role) -> None:
        self._ground = ground
        code = ground.sign_in_page(name, role).partition("#once=")[2]
        status, answer, headers = self._ask("POST", "/api/v1/session/code", {"code": code})
        assert status == 200, answer
        self._cookie = (headers["set-cookie"] or "").partition(";")[0]
        self._token = answer["token"]

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path)[:2]

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return self._ask("POST", path, body)[:2]

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any, Any]:
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "_cookie"):
            headers |= {"Cookie": self._cookie, "X-Skywarden-Token": self._token}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self._ground.http_url + path, method=method, data=data, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read()), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read()), error.headers
