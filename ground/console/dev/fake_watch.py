"""Alerts, zones, rules and AIS of the invented ground station, by the rules that a real one keeps."""

import math
import random
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
At = Callable[[float, float], list[float]]
WORDS = ("matched", "silent", "doubtful", "unheard", "undecided")
TYPES = ("fishing", "cargo", "tanker", "passenger", "pleasure craft", "tug", None)
NAMES = (
    "MARIA DEL MAR",
    "NORDEN",
    "LA GAVIOTA",
    "ALBORAN STAR",
    "SAN TELMO",
    "CALAHONDA",
    "PUNTA LARA",
    None,
)


class FakeWatch:
    """Keeps zones, rules and alerts of `contacts`; `at` gives [lon, lat] of metres, `stamp` the time."""

    def __init__(
        self, contacts: dict[str, Json], at: At, stamp: Callable[[float], str], vessels: int
    ) -> None:
        self._contacts = contacts
        self._at, self._stamp = at, stamp
        self._source = random.Random(4)
        self._key = 0
        self.zones: dict[str, Json] = {}
        self.rules: dict[str, Json] = {"exclusion": _EXCLUSION}
        self.alerts: dict[str, Json] = {}
        self._vessels = [self._vessel(index) for index in range(vessels)]

    def fill(self, now: float) -> None:
        """Some zones, rules and alerts to look at."""
        for zone_id, name, kind, points, width in _ZONES:
            ring = [self._at(*point) for point in points]
            is_line = kind in ("corridor", "line")
            self.zones[zone_id] = {
                "zone_id": zone_id, "name": name, "kind": kind, "source": "drawn by maria", "width_m": width,
                "polygons": [] if is_line else [[ring]], "lines": [ring] if is_line else [],
            }  # fmt: skip
        night: Json = {"severity": "warning", "zone_ids": ["z-bay"], "labels": ["vessel"], "light": "dark"}
        self.rules["r-bay"] = rule("r-bay", "Boat in the bay at night", **night, escalate_after_s=120.0)
        quiet: Json = {"quiet": [{"from": 0, "until": 1440}], "trigger": "crosses", "severity": "notice"}
        self.rules["r-line"] = rule("r-line", "Over the line", **quiet, zone_ids=["z-line"])
        vessels = [one for one in self._contacts.values() if one["position"] is not None]
        self.fire(vessels[0]["contact_id"], "exclusion", "z-keep", now - 40)
        self.fire(vessels[1]["contact_id"], "r-bay", "z-bay", now - 410)
        taken = self.fire(vessels[-1]["contact_id"], "r-line", "z-line", now - 2_900)
        self.act(taken["alert_id"], "acknowledged", "ben", "the ferry", now - 2_800)

    # -- alerts ------------------------------------------------------------------------------------

    def fire(self, contact_id: str, rule_id: str, zone_id: str | None, now: float) -> Json:
        """An alert about a contact."""
        contact, by = self._contacts[contact_id], self.rules[rule_id]
        zone = self.zones.get(zone_id or "")
        self._key += 1
        place = contact["position"]
        alert_id = f"a-{self._key:04d}"
        self.alerts[alert_id] = {
            "alert_id": alert_id,
            "key": self._key,
            "rule_id": rule_id,
            "rule_name": by["name"],
            "severity": by["severity"],
            "zone_id": zone_id,
            "zone_name": zone["name"] if zone else None,
            "contact_id": contact_id,
            "label": contact["label"],
            "score": contact["score"],
            "time": self._stamp(now - 1),
            "noted": self._stamp(now),
            "place": [place["longitude_deg"], place["latitude_deg"]] if place else None,
            "ce90_m": place["ce90_m"] if place else None,
            "probability": 0.97,
            "speed_mps": contact["speed_mps"],
            "course_deg": contact["course_deg"],
            "why": [
                {"word": "zone", "text": f"inside {zone['name'] if zone else '?'} with 97% (90% asked)",
                 "value": 0.97, "limit": 0.9},
                {"word": "looks", "text": "seen 4 times (at least 2)", "value": 4.0, "limit": 2.0},
            ],
            "is_quiet": bool(by["quiet"]),
            "is_exercise": contact["is_exercise"],
            "sounds": not by["quiet"],
            "acknowledged_by": None,
            "acknowledged": None,
            "acts": [],
        }  # fmt: skip
        return self.alerts[alert_id]

    def act(self, alert_id: str, kind: str, account: str, text: str, now: float) -> tuple[int, Json]:
        """Status and body of what a person does."""
        alert = self.alerts.get(alert_id)
        if alert is None:
            return 404, {"error": "there is no such alert"}
        if kind == "acknowledged":
            taken = alert["acknowledged_by"]
            if taken is not None and taken != account:
                return 409, {"error": f"{taken} acknowledged this alert before"}
            alert.update(acknowledged_by=account, acknowledged=self._stamp(now), sounds=False)
        if kind == "escalated":
            if alert["severity"] == "urgent":
                return 409, {"error": "this alert is urgent already: there is nothing above"}
            alert["severity"] = "urgent" if alert["severity"] == "warning" else "warning"
        alert["acts"] = [
            *alert["acts"],
            {"kind": kind, "time": self._stamp(now), "account": account, "text": text},
        ]
        return 200, alert

    # -- AIS ---------------------------------------------------------------------------------------

    def _vessel(self, index: int) -> tuple[float, float, float, float, Json]:
        spread = 1.0 if len(self._contacts) < 50 else 5.0
        source = self._source
        east, north = source.uniform(-2600, 2300) * spread, source.uniform(-2000, -60) * spread
        speed, course = source.choice([0.0, 0.2, 3.1, 5.6, 8.4]), source.uniform(0, 360)
        name, kind = NAMES[index % len(NAMES)], TYPES[index % len(TYPES)]
        is_told = index % 5 != 4
        body: Json = {
            "mmsi": str(224_000_001 + index),
            "station": "A" if index % 3 else "B",
            "name": name if index < len(NAMES) or name is None else f"{name} {index}",
            "callsign": f"EA{index:04d}",
            "imo": 9_100_000 + index if index % 3 else None,
            "type": kind,
            "length_m": float(12 + index % 80),
            "beam_m": float(4 + index % 20),
            "draught_m": 3.2 if index % 3 else None,
            "destination": "ALMERIA" if index % 2 else None,
            "doubts": [],
            "flags": [],
            "heading_deg": round((course + 4) % 360) if is_told and index % 2 else None,
        }
        if index == 1:
            body["flags"] = [_LOITERS]
        if index == 2:
            body["flags"], body["doubts"] = [_GAP], ["one number on two transmitters 4.1 km apart"]
        return east, north, speed, course, body

    def vessels(self, now: float, started: float) -> list[Json]:
        """All vessels as they stand now; the fourth was not heard for long."""
        found = []
        for index, (east, north, speed, course, body) in enumerate(self._vessels):
            age = 1_500.0 if index == 3 else float((index * 7) % 50)
            way = speed * (now - started - age)
            longitude, latitude = self._at(
                east + way * math.sin(math.radians(course)), north + way * math.cos(math.radians(course))
            )
            place = {
                "time": self._stamp(now - age),
                "latitude_deg": latitude,
                "longitude_deg": longitude,
                "speed_mps": speed,
                "course_deg": round(course, 1) if speed else None,
                "heading_deg": body["heading_deg"],
                "is_accurate": True,
            }
            told = {key: value for key, value in body.items() if key != "heading_deg"}
            heard = {"first_heard": self._stamp(started - 5_000), "last_heard": self._stamp(now - age)}
            found.append({**told, **heard, "position": place})
        return found

    def vessel(self, mmsi: str, now: float, started: float) -> Json | None:
        """One with where it was."""
        found = next((one for one in self.vessels(now, started) if one["mmsi"] == mmsi), None)
        if found is None:
            return None
        longitude, latitude = found["position"]["longitude_deg"], found["position"]["latitude_deg"]
        places = [[longitude - 0.0006 * step, latitude - 0.0003 * step] for step in range(20, -1, -1)]
        times = [self._stamp(now - 30 * step) for step in range(20, -1, -1)]
        return {**found, "tracks": [{"number": 0, "places": places, "times": times}]}

    def word_of(self, contact_id: str) -> str:
        """The verdict on a contact: by its number, so that it stays."""
        digits = "".join(one for one in contact_id if one.isdigit())
        return WORDS[(int(digits) + 1) % 5 if digits else 3]

    def standings(self) -> list[Json]:
        """What AIS says of each vessel that has a place."""
        return [
            {"contact_id": key, "verdict": self.word_of(key), "probability": 0.8, "mmsi": None}
            for key, one in self._contacts.items()
            if one["label"] == "vessel" and one["position"] is not None
        ]

    # -- routes ------------------------------------------------------------------------------------

    def answer(self, path: str, query: dict[str, list[str]], now: float, started: float) -> Json | None:
        """The body of a GET, or None when the path is not of the watch."""
        if path == "alerts":
            is_open = query.get("is_open") == ["true"]
            before = int(query.get("before", ["999999999"])[0])
            found = [one for one in self.alerts.values() if one["key"] < before]
            found = [one for one in found if not is_open or one["acknowledged_by"] is None]
            return {"items": sorted(found, key=lambda one: -int(one["key"]))[:100]}
        if path == "zones":
            return {"items": list(self.zones.values())}
        if path == "rules":
            return {"items": list(self.rules.values())}
        if path == "ais/vessels":
            found = self.vessels(now, started)
            return {"items": found, "number_matched": len(found), "number_returned": len(found)}
        if path.startswith("ais/vessels/"):
            return self.vessel(path.removeprefix("ais/vessels/"), now, started)
        if path == "ais/verdicts":
            return {"items": self.standings(), "pending": 0}
        if path == "sites":
            return {"items": [], "matched": 0}
        return self.alerts.get(path.removeprefix("alerts/"))

    def put(self, path: str, given: Json) -> tuple[int, Json]:
        """Keeps a zone or a rule."""
        shelf, _, key = path.partition("/")
        if shelf == "rules" and (gone := [one for one in given["zone_ids"] if one not in self.zones]):
            return 400, {"error": f"rule {given['name']!r} names zones that do not exist: {gone[0]}"}
        (self.zones if shelf == "zones" else self.rules)[key] = given
        return 200, given

    def delete(self, path: str) -> tuple[int, Json]:
        """Drops a zone or a rule; a zone that a rule names stays."""
        shelf, _, key = path.partition("/")
        naming = [one["name"] for one in self.rules.values() if key in one["zone_ids"]]
        if shelf == "zones" and naming:
            return 409, {"error": f"zone {key} is named by {len(naming)} rules, such as {naming[0]!r}"}
        gone = (self.zones if shelf == "zones" else self.rules).pop(key, None)
        return (204, {}) if gone is not None else (404, {"error": "there is no such thing"})


def rule(rule_id: str, name: str, **changes: Any) -> Json:
    """A rule with what the ground fills in."""
    made: Json = {
        "rule_id": rule_id, "name": name, "trigger": "inside", "severity": "warning", "is_on": True,
        "zone_ids": [], "labels": [], "min_score": 0.0, "max_ce90_m": None, "min_looks": 2,
        "min_probability": 0.9, "min_speed_mps": None, "max_speed_mps": None, "ais": [], "light": "any",
        "hours": [], "quiet": [], "utc_offset_min": 0, "dwell_s": 0.0, "again_after_s": 1800.0,
        "escalate_after_s": 0.0, "to_pilot": False,
    }  # fmt: skip
    return {**made, **changes}


def verdict(word: str) -> Json:
    """What AIS says in full."""
    shares = dict.fromkeys(WORDS, 0.03) | {word: 0.88}
    heard = {"chance": 0.97, "per_report": 0.71}
    return {
        "verdict": word,
        "probabilities": shares,
        "mmsi": None,
        "reasons": [
            {"kind": "nobody_fits", "text": "no vessel on AIS fits: the nearest, MMSI 224000001, was 3100 m "
             "away (21.4 sigmas)", "values": {"distance_m": 3100.0, "sigmas": 21.4}},
            {"kind": "could_hear", "text": "a vessel there that sends would have been heard with 97%: our "
             "receiver gets 71% of the reports from thereabouts", "values": heard},
        ],
        "candidates": [
            {"mmsi": "224000001", "name": "MARIA DEL MAR", "type": "fishing", "distance_m": 3100.0,
             "bearing_deg": 214.0, "sigmas": 21.4, "age_s": 4.0, "probability": 0.001, "latitude_deg": 36.7,
             "longitude_deg": -3.42, "length_m": 24.0, "doubts": []},
        ],
    }  # fmt: skip


_EXCLUSION = rule("exclusion", "Exclusion zone entered", severity="urgent", to_pilot=True)
_ZONES: list[tuple[str, str, str, list[tuple[float, float]], float]] = [
    ("z-keep", "Keep out", "exclusion", [(-1900, -1500), (-700, -1600), (-600, -800), (-1700, -700)], 0.0),
    ("z-bay", "Bay", "area", [(-300, -900), (1300, -1100), (1600, 100), (-200, 250)], 0.0),
    ("z-lane", "Ferry lane", "corridor", [(-2600, -300), (-900, 100), (-700, 900)], 240.0),
    ("z-line", "Twelve miles", "line", [(-2800, -1900), (200, -1750), (2600, -1850)], 0.0),
    ("z-harbour", "Harbour", "mute", [(-1400, 350), (-500, 350), (-500, 950), (-1400, 950)], 0.0),
]
_LOITERS: Json = {
    "kind": "loitering", "since": "2026-11-22T05:10:00Z", "until": "2026-11-22T06:32:00Z", "other_mmsi": None,
    "text": "82 minutes within 1.1 km, under way at 0.9 m/s",
    "values": {"minutes": 82.0, "radius_m": 1100.0, "speed_mps": 0.9},
}  # fmt: skip
_GAP: Json = {
    "kind": "gap", "since": "2026-11-22T04:00:00Z", "until": "2026-11-22T04:41:00Z", "other_mmsi": None,
    "text": "no report for 41 minutes though our receiver would have heard one with 98%",
    "values": {"minutes": 41.0, "chance": 0.98},
}  # fmt: skip
