"""QGroundControl's plan file (docs.qgroundcontrol.com, "Plan File Format"): written, and checked first.

Everything is a SimpleItem: one MAVLink mission command (common.xml), which every autopilot and ground control
program reads. Heights are above the geoid (MAV_FRAME_GLOBAL), so that they do not depend on where the
aircraft took off.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from skywarden.errors import InputError

FRAME_GLOBAL = 0
"""MAV_FRAME_GLOBAL: height above the geoid."""
FRAME_MISSION = 2
"""MAV_FRAME_MISSION: a command without a place."""
NAV_WAYPOINT = 16
DO_CHANGE_SPEED = 178
DO_SET_ROI_LOCATION = 195
DO_SET_ROI_NONE = 197
DO_SET_CAM_TRIGG_DIST = 206
"""MAV_CMD numbers of common.xml."""

_COMMANDS = {
    NAV_WAYPOINT: FRAME_GLOBAL,
    DO_SET_ROI_LOCATION: FRAME_GLOBAL,
    DO_CHANGE_SPEED: FRAME_MISSION,
    DO_SET_ROI_NONE: FRAME_MISSION,
    DO_SET_CAM_TRIGG_DIST: FRAME_MISSION,
}
_ABSOLUTE_ALTITUDE = 2  # QGroundControl's word for heights above the geoid
_FIRMWARE_ANY = 0  # MAV_AUTOPILOT_GENERIC
_VEHICLES = {"multirotor": 2, "fixed_wing": 1}  # MAV_TYPE_QUADROTOR, MAV_TYPE_FIXED_WING
PROPOSAL = "PROPOSAL by software: a pilot checks airspace, obstacles, terrain and range before flight"
MAX_ITEMS = 700
"""The least that autopilots of today hold."""


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place to fly through; height above the geoid."""

    latitude_deg: float
    longitude_deg: float
    alt_msl_m: float


@dataclass(frozen=True, slots=True)
class LookAt:
    """Point the camera at a place from here on; `None`: no more."""

    place: Waypoint | None


@dataclass(frozen=True, slots=True)
class TriggerEvery:
    """Take a picture each so many metres; 0 ends it."""

    distance_m: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Fly so fast over ground."""

    speed_mps: float


Step = Waypoint | LookAt | TriggerEvery | Speed


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A plan as a sequence of steps, with the words that a pilot reads first."""

    title: str
    notes: tuple[str, ...]
    steps: tuple[Step, ...]
    home: Waypoint
    speed_mps: float
    vehicle: Literal["multirotor", "fixed_wing"] = "multirotor"

    @property
    def waypoints(self) -> tuple[Waypoint, ...]:
        """Where it leads, in order."""
        return tuple(one for one in self.steps if isinstance(one, Waypoint))


def plan_of(proposal: Proposal) -> bytes:
    """The file; raises `InputError` when it is longer than an aircraft can hold."""
    tree = {
        "fileType": "Plan",
        "version": 1,
        "groundStation": "Skywarden",
        "skywarden": {
            "proposal": PROPOSAL,
            "title": proposal.title,
            "notes": list(proposal.notes),
        },
        "mission": {
            "version": 2,
            "firmwareType": _FIRMWARE_ANY,
            "vehicleType": _VEHICLES[proposal.vehicle],
            "globalPlanAltitudeMode": _ABSOLUTE_ALTITUDE,
            "cruiseSpeed": round(proposal.speed_mps, 2),
            "hoverSpeed": round(proposal.speed_mps, 2),
            "plannedHomePosition": _place(proposal.home),
            "items": [_item(number, step) for number, step in enumerate(proposal.steps, 1)],
        },
        "geoFence": {"version": 2, "polygons": [], "circles": []},
        "rallyPoints": {"version": 2, "points": []},
    }
    check_plan(tree)
    return json.dumps(tree, indent=2, allow_nan=False).encode() + b"\n"


def check_plan(tree: Mapping[str, Any]) -> None:
    """Raise `InputError` unless `tree` is a plan as the format is described, of commands that we use."""
    _need(tree.get("fileType") == "Plan" and tree.get("version") == 1, "it is no plan of version 1")
    _need(isinstance(tree.get("groundStation"), str), "it does not say who wrote it")
    mission, fence, rally = tree.get("mission"), tree.get("geoFence"), tree.get("rallyPoints")
    for part, name in ((mission, "mission"), (fence, "geoFence"), (rally, "rallyPoints")):
        _need(isinstance(part, dict) and part.get("version") == 2, f"{name} is not of version 2")
    assert isinstance(mission, dict)
    _need(_is_place(mission.get("plannedHomePosition")), "the home is no place")
    for name in ("cruiseSpeed", "hoverSpeed"):
        _need(_is_number(mission.get(name)) and 0 < mission[name] <= 100, f"{name} is no speed")
    items = mission.get("items")
    _need(isinstance(items, list) and bool(items), "it has no items")
    assert isinstance(items, list)
    _need(
        len(items) <= MAX_ITEMS,
        f"{len(items)} items are more than the {MAX_ITEMS} that every autopilot holds",
    )
    for number, item in enumerate(items, 1):
        _check_item(number, item)


def _check_item(number: int, item: Any) -> None:
    what = f"item {number}"
    _need(isinstance(item, dict) and item.get("type") == "SimpleItem", f"{what} is no SimpleItem")
    _need(item.get("doJumpId") == number, f"{what} is numbered {item.get('doJumpId')}")
    _need(item.get("autoContinue") is True, f"{what} would stop the mission")
    command, params = item.get("command"), item.get("params")
    _need(command in _COMMANDS, f"{what} has the command {command}")
    _need(item.get("frame") == _COMMANDS[command], f"{what} has the frame {item.get('frame')}")
    _need(isinstance(params, list) and len(params) == 7, f"{what} does not have seven parameters")
    _need(all(one is None or _is_number(one) for one in params), f"{what} has a parameter that is no number")
    if _COMMANDS[command] == FRAME_GLOBAL:
        _need(_is_place(params[4:]), f"{what} leads to no place: {params[4:]}")


def _item(number: int, step: Step) -> dict[str, Any]:
    command, params = _command(step)
    item: dict[str, Any] = {
        "type": "SimpleItem",
        "autoContinue": True,
        "command": command,
        "doJumpId": number,
        "frame": _COMMANDS[command],
        "params": params,
    }
    if command == NAV_WAYPOINT:
        item |= {"AMSLAltAboveTerrain": None, "Altitude": params[6], "AltitudeMode": _ABSOLUTE_ALTITUDE}
    return item


def _command(step: Step) -> tuple[int, list[float | None]]:
    """The number and the seven parameters; `None` leaves it to the autopilot (NaN on the wire)."""
    if isinstance(step, Waypoint):
        return NAV_WAYPOINT, [0, 0, 0, None, *_place(step)]
    if isinstance(step, TriggerEvery):
        return DO_SET_CAM_TRIGG_DIST, [round(step.distance_m, 2), 0, 1 if step.distance_m else 0, 0, 0, 0, 0]
    if isinstance(step, Speed):
        return DO_CHANGE_SPEED, [1, round(step.speed_mps, 2), -1, 0, 0, 0, 0]
    if step.place is None:
        return DO_SET_ROI_NONE, [0, 0, 0, 0, 0, 0, 0]
    return DO_SET_ROI_LOCATION, [0, 0, 0, 0, *_place(step.place)]


def _place(place: Waypoint) -> list[float | None]:
    return [round(place.latitude_deg, 8), round(place.longitude_deg, 8), round(place.alt_msl_m, 2)]


def _is_place(value: object) -> bool:
    if not isinstance(value, Sequence) or len(value) != 3 or not all(_is_number(one) for one in value):
        return False
    latitude, longitude, height = value
    return bool(abs(latitude) <= 90.0 and abs(longitude) <= 180.0 and -500.0 <= height <= 10_000.0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise InputError(f"this plan cannot be flown: {what}")
