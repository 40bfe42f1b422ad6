"""Roles, and the one table of what each may do. What the table does not grant is denied."""

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """What a route may ask for; every route names exactly one."""

    PUBLIC = "public"
    """Anybody who reaches the station: the login page, signs of life, signing in itself."""
    OWN_SESSION = "own_session"
    """Any account, about itself."""
    SEE_PICTURE = "see_picture"
    """The station, platforms, tracks, map layers, the live stream."""
    SEE_CONTACTS = "see_contacts"
    """Contacts and sightings as lists."""
    SEE_DETAILS = "see_details"
    """One contact with its sightings, and images cut out around detections; every look is logged."""
    EXPORT = "export"
    """Files for other programs and other people; every one is logged."""
    TASK_PLATFORMS = "task_platforms"
    """Ask platforms for something: a picture, another threshold; every request is logged."""
    REVIEW = "review"
    """Decide about what was seen: only people in a session, never a key; every decision is logged."""
    SEE_SHARED = "see_shared"
    """What people have confirmed, and nothing else; every look is logged."""
    MONITOR = "monitor"
    """Figures about the station itself, for Prometheus."""
    READ_ACCESS_LOG = "read_access_log"
    """Who saw and who handed on what."""


class Role(StrEnum):
    """What an account is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    ADMINISTRATOR = "administrator"
    PARTNER = "partner"


class Scope(StrEnum):
    """What an API key is for; it never opens more than its account's role does."""

    VIEW = "view"
    EXPORT = "export"
    TASK = "task"
    MONITOR = "monitor"
    ACCESS_LOG = "access-log"


_SEE = frozenset(
    {Permission.SEE_PICTURE, Permission.SEE_CONTACTS, Permission.SEE_DETAILS, Permission.SEE_SHARED}
)
_WORK = frozenset({Permission.EXPORT, Permission.TASK_PLATFORMS, Permission.REVIEW})
_ANYBODY = frozenset({Permission.PUBLIC, Permission.OWN_SESSION})

GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.PARTNER: _ANYBODY | {Permission.SEE_SHARED},
    Role.VIEWER: _ANYBODY | _SEE,
    Role.OPERATOR: _ANYBODY | _SEE | _WORK,
    Role.SUPERVISOR: _ANYBODY | _SEE | _WORK | {Permission.MONITOR, Permission.READ_ACCESS_LOG},
    Role.ADMINISTRATOR: _ANYBODY | _SEE | _WORK | {Permission.MONITOR, Permission.READ_ACCESS_LOG},
}
"""The table. Accounts themselves are kept on the station's own machine (`skywarden ground users`)."""

OPENED: Mapping[Scope, frozenset[Permission]] = {
    Scope.VIEW: _SEE | {Permission.PUBLIC},
    Scope.EXPORT: frozenset({Permission.PUBLIC, Permission.EXPORT}),
    Scope.TASK: frozenset({Permission.PUBLIC, Permission.TASK_PLATFORMS}),
    Scope.MONITOR: frozenset({Permission.PUBLIC, Permission.MONITOR}),
    Scope.ACCESS_LOG: frozenset({Permission.PUBLIC, Permission.READ_ACCESS_LOG}),
}
"""A key is no session: it cannot sign out or change a password. Nor is it a person: it decides nothing."""

LOGGED = frozenset(
    {
        Permission.SEE_DETAILS,
        Permission.SEE_SHARED,
        Permission.EXPORT,
        Permission.TASK_PLATFORMS,
        Permission.REVIEW,
        Permission.READ_ACCESS_LOG,
    }
)
"""What is written down before it is answered."""


def permissions_of(role: Role, scopes: frozenset[Scope] | None = None) -> frozenset[Permission]:
    """What `role` may do, with an API key only as far as its `scopes` open it."""
    granted = GRANTED[role]
    if scopes is None:
        return granted
    opened: frozenset[Permission] = frozenset().union(*(OPENED[one] for one in scopes))
    return granted & opened
