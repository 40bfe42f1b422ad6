"""The figures of a watch against truth, each a plain function of what was watched and what was true."""

import math
from bisect import bisect_right
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from sim.range.score.moments import judged_moments
from sim.range.score.naming import Named
from sim.range.score.truth import METRES_PER_DEG, RunTruth, is_findable
from sim.range.watch import Moment, Watched
from skywarden.clock import NS_PER_S
from skywarden.messages import Sighting

FloatArray = npt.NDArray[np.float64]

CHI_SQUARE_2_90 = 4.605170185988092
CUT_M = 60.0
SHOWN_NS = 60 * NS_PER_S
MOVING_MPS = 1.0
"""From here on truth counts as under way."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Detections of single frames: share of what could be found, false ones an hour of flight."""

    findable: int
    recall: float | None
    recall_by_label: dict[str, float]
    false_per_hour: float
    decoys_per_hour: float


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts second by second, judged as by Stone Soup: GOSPA (p 2, cut at 60 m) and SIAP.

    Of the false ones, how many there were an hour.
    """

    gospa_m: float | None
    completeness: float | None
    ambiguity: float | None
    spuriousness: float | None
    contacts: int
    false_contacts_per_hour: float


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """Places of sightings: errors in metres, and the share whose truth lay in the 90 % ellipse."""

    looks: int
    rms_m: float | None
    median_m: float | None
    p90_m: float | None
    median_ce90_m: float | None
    inside_90: float | None


class Moving(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts at the end: errors of speed and course, and what was called moving wrongly or not at all."""

    under_way: int
    with_speed: int
    speed_rms_mps: float | None
    course_rms_deg: float | None
    standing: int
    standing_called_moving: int


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """From the first frame in which a vessel could be found to its first alert; `missed` had none.

    One that was found before it could have been asked for counts as found at once.
    """

    vessels: int
    missed: int
    median_s: float | None
    p90_s: float | None
    false_alerts: int


def finding(truth: RunTruth, watched: Watched) -> Finding:
    """Detections of every frame; one counts for a thing when its middle lies in the thing's box."""
    able: dict[str, int] = {}
    hit: dict[str, int] = {}
    false = decoys = 0
    for flight, steps in watched.steps.items():
        for step in steps:
            frame = truth.frames[flight].get(step.frame_number)
            if frame is None:
                continue
            touched = set()
            for box in step.outcome.batch.box_px.tolist():
                x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                over = [one for one in frame.objects if _holds(one.box_px, x, y)]
                touched |= {one.id for one in over if one.label != "decoy"}
                false += not over
                decoys += bool(over) and all(one.label == "decoy" for one in over)
            for thing in frame.objects:
                if is_findable(thing):
                    able[thing.label] = able.get(thing.label, 0) + 1
                    hit[thing.label] = hit.get(thing.label, 0) + (thing.id in touched)
    hours = _hours(watched)
    total = sum(able.values())
    return Finding(
        findable=total,
        recall=round(sum(hit.values()) / total, 4) if total else None,
        recall_by_label={label: round(hit[label] / count, 4) for label, count in sorted(able.items())},
        false_per_hour=round(false / hours, 2),
        decoys_per_hour=round(decoys / hours, 2),
    )


def picture(truth: RunTruth, watched: Watched, names: Named) -> Picture:
    """What a person saw on the map, second by second, against what had been findable within a minute."""
    shown, there = [], []
    for moment in watched.moments:
        shown.append(_shown(moment))
        there.append(_there(truth, moment.time_ns))
    false = sum(1 for one in watched.contacts if one.sighting_count >= 2 and names.of(one) is None)
    verdict = judged_moments(shown, there, cut_m=CUT_M) if any(there) else None
    return Picture(
        gospa_m=None if verdict is None else _rounded(verdict.gospa_m, 3),
        completeness=None if verdict is None else _rounded(verdict.completeness, 4),
        ambiguity=None if verdict is None else _rounded(verdict.ambiguity, 4),
        spuriousness=None if verdict is None else _rounded(verdict.spuriousness, 4),
        contacts=len(watched.contacts),
        false_contacts_per_hour=round(false / _hours(watched), 2),
    )


def placing(truth: RunTruth, watched: Watched) -> Placing:
    """Every sighting with a place of something that truth knows."""
    errors, squares, ce90 = [], [], []
    for flight, steps in watched.steps.items():
        for step in steps:
            for message in step.outcome.messages:
                if not isinstance(message, Sighting) or message.position is None:
                    continue
                thing = truth.thing_of(flight, message)
                if thing is None or thing.label == "decoy" or not is_findable(thing):
                    continue
                position = message.position
                scale = METRES_PER_DEG * math.cos(math.radians(thing.latitude_deg))
                off = np.array(
                    [
                        (position.longitude_deg - thing.longitude_deg) * scale,
                        (position.latitude_deg - thing.latitude_deg) * METRES_PER_DEG,
                    ]
                )
                ee, en, _, nn, _, _ = position.covariance_enu_m2
                errors.append(float(np.hypot(*off)))
                squares.append(float(off @ np.linalg.solve(np.array([[ee, en], [en, nn]]), off)))
                ce90.append(position.ce90_m)
    if not errors:
        return Placing(looks=0, rms_m=None, median_m=None, p90_m=None, median_ce90_m=None, inside_90=None)
    return Placing(
        looks=len(errors),
        rms_m=round(float(np.sqrt(np.mean(np.square(errors)))), 3),
        median_m=round(float(np.median(errors)), 3),
        p90_m=round(float(np.quantile(errors, 0.9)), 3),
        median_ce90_m=round(float(np.median(ce90)), 3),
        inside_90=round(float(np.mean(np.array(squares) <= CHI_SQUARE_2_90)), 4),
    )


def moving(truth: RunTruth, watched: Watched, names: Named) -> Moving:
    """Contacts with four looks and more, as they stand at the end."""
    way = with_speed = standing = wrongly = 0
    speeds, courses = [], []
    for contact in watched.contacts:
        name = names.of(contact)
        if name is None or contact.sighting_count < 4 or contact.position_ns is None:
            continue
        place = truth.things[name].at(contact.position_ns)
        speed = math.hypot(place.east_mps, place.north_mps)
        if speed < MOVING_MPS:
            standing += 1
            wrongly += contact.speed_mps is not None
            continue
        way += 1
        if contact.speed_mps is not None and contact.course_deg is not None:
            with_speed += 1
            speeds.append(contact.speed_mps - speed)
            true_deg = math.degrees(math.atan2(place.east_mps, place.north_mps))
            courses.append((contact.course_deg - true_deg + 180.0) % 360.0 - 180.0)
    return Moving(
        under_way=way,
        with_speed=with_speed,
        speed_rms_mps=_rms(speeds),
        course_rms_deg=_rms(courses),
        standing=standing,
        standing_called_moving=wrongly,
    )


def alarm(truth: RunTruth, watched: Watched, names: Named) -> Alarm:
    """Alerts by the thing that they are about."""
    every = {one.contact_id: one for moment in watched.moments for one in moment.contacts}
    by_contact = {contact_id: names.of(contact) for contact_id, contact in every.items()}
    first: dict[str, int] = {}
    false = 0
    for alert in watched.alerts:
        name = by_contact.get(alert.contact_id)
        if name is None or truth.things[name].label == "decoy":
            false += 1
        else:
            first.setdefault(name, alert.noted_ns)
    vessels = [one for one in truth.things.values() if one.label == "vessel" and len(one.findable_ns) >= 4]
    late = [max(0.0, (first[one.id] - one.findable_ns[0]) / NS_PER_S) for one in vessels if one.id in first]
    return Alarm(
        vessels=len(vessels),
        missed=len(vessels) - len(late),
        median_s=round(float(np.median(late)), 2) if late else None,
        p90_s=round(float(np.quantile(late, 0.9)), 2) if late else None,
        false_alerts=false,
    )


def _holds(box: tuple[float, float, float, float], x: float, y: float) -> bool:
    return box[0] - 3.0 <= x <= box[2] + 3.0 and box[1] - 3.0 <= y <= box[3] + 3.0


def _hours(watched: Watched) -> float:
    return max(watched.run.seconds * len(watched.steps) / 3_600.0, 1e-9)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _rms(values: Sequence[float]) -> float | None:
    return round(float(np.sqrt(np.mean(np.square(values)))), 3) if values else None


def _shown(moment: Moment) -> dict[str, FloatArray]:
    """Contacts of the last minute with two looks and more, carried to the moment: east, north in degrees."""
    found = {}
    for one in moment.contacts:
        if one.position is None or one.position_ns is None or one.sighting_count < 2:
            continue
        if moment.time_ns - one.position_ns > SHOWN_NS:
            continue
        seconds = (moment.time_ns - one.position_ns) / NS_PER_S
        course, speed = math.radians(one.course_deg or 0.0), one.speed_mps or 0.0
        scale = METRES_PER_DEG * math.cos(math.radians(one.position.latitude_deg))
        east, north = speed * math.sin(course), speed * math.cos(course)
        found[one.contact_id] = np.array(
            [
                one.position.longitude_deg * scale + east * seconds,
                east,
                one.position.latitude_deg * METRES_PER_DEG + north * seconds,
                north,
            ]
        )
    return found


def _there(truth: RunTruth, time_ns: int) -> dict[str, FloatArray]:
    """What could be found four times or more by now, and last within a minute."""
    found = {}
    for thing in truth.things.values():
        before = bisect_right(thing.findable_ns, time_ns)
        if before >= 4 and time_ns - thing.findable_ns[before - 1] <= SHOWN_NS:
            place = thing.at(time_ns)
            scale = METRES_PER_DEG * math.cos(math.radians(place.latitude_deg))
            found[thing.id] = np.array(
                [
                    place.longitude_deg * scale,
                    place.east_mps,
                    place.latitude_deg * METRES_PER_DEG,
                    place.north_mps,
                ]
            )
    return found
