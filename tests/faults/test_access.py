"""S17: deny by default, on every route that the router has."""

import pytest
from fastapi import FastAPI

from ground.accounts.roles import GRANTED, OPENED, Permission, Role, Scope, permissions_of
from ground.http.gate import needs, require_permissions
from sim.faults.access import run
from sim.faults.access_fuzz import requests
from skywarden.errors import ConfigError


@pytest.mark.slow
def test_every_route_answers_every_kind_of_caller_as_the_table_says() -> None:
    result = run("quick", 1, cases=150)
    missed = [f"{one.name}: {one.value}, {one.goal}" for one in result.criteria if not one.is_met]
    assert missed == [], result.notes


def test_an_application_with_a_route_that_names_no_permission_is_refused() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/said")
    @needs(Permission.SEE_PICTURE)
    def said() -> None: ...

    require_permissions(app)

    @app.get("/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(ConfigError, match="/forgotten"):
        require_permissions(app)


def test_every_role_and_scope_stands_in_the_table_and_a_partner_sees_what_is_shared() -> None:
    assert set(GRANTED) == set(Role)
    assert set(OPENED) == set(Scope)
    shared = {Permission.SEE_SHARED}
    assert permissions_of(Role.PARTNER) == {Permission.PUBLIC, Permission.OWN_SESSION} | shared
    assert permissions_of(Role.PARTNER, frozenset(Scope)) == {Permission.PUBLIC} | shared
    for role in Role:
        assert Permission.REVIEW not in permissions_of(role, frozenset(Scope)), "a key decides nothing"
    assert Permission.REVIEW not in permissions_of(Role.VIEWER)
    for role in Role:
        assert permissions_of(role, frozenset(Scope)) <= permissions_of(role)


def test_the_same_seed_gives_the_same_hostile_requests() -> None:
    description = {"paths": {"/a/{b}": {"get": {"parameters": [{"name": "b", "in": "path"}]}}}}
    first, again = list(requests(description, 50, 3)), list(requests(description, 50, 3))
    assert first == again
    assert len({one.path for one in first}) > 10
