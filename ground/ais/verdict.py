"""What AIS says about a contact: five probabilities, a word, and the reasons, in words that accuse nobody.

For each look of a camera at something on the water:

* **matched**: it is that vessel on AIS;
* **silent**: a vessel that our receiver could hear, and did not ("dark");
* **doubtful**: it is on AIS under an identity or a position that is not to be taken as it is said;
* **unheard**: our receiver could not have heard it, so its silence says nothing;
* **undecided**: several fit, or the look is too vague.

The model: each look is a vessel of the AIS picture (its predicted place and velocity within both
covariances), or one that is not in it. Of those that are not, a share is silent by prior; the chance that
the receiver would have heard one that sends comes from the hearing model, and what could not be heard is
not silent. A vessel whose reports stopped while others were heard is matched in place and silent in the
verdict.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from ground.ais.association import is_in_gate, pair_weights, tailed_density
from ground.ais.book import Doubt, Track, Vessel, VesselBook
from ground.ais.config import VerdictConfig
from ground.ais.hearing import Audibility, HearingModel, Receiver
from ground.ais.identity import type_name
from ground.ais.motion import Prediction, expected_interval_s, offset_m, predict

FloatArray = npt.NDArray[np.float64]
Word = Literal["matched", "silent", "doubtful", "unheard", "undecided"]
WasSeen = Callable[[float, float, int], bool | None]

_NS = 1e9
_KM2 = 1e-6
_WINDOW_NS = 600_000_000_000
_LITTLE_EVIDENCE = 5.0
"""So many reports heard from thereabouts, and the share that gets through is more than a guess."""
_QUIET_S = 300.0
_SPEED_SPREAD_MPS = 6.0
_OFFSET_SIGMA_M = 4_000.0
_FROZEN_SHARE, _JUMPED_SHARE = 0.9, 0.32
_JUMPED_NS = 1_800_000_000_000
_TWICE_SHARE = 0.005
_TURNS_SHARE = 0.02
_REPORTING = ("A", "B", "long_range")


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One contact at one instant: degrees, the covariance (ee, en, nn) in m^2, motion where it is known."""

    contact_id: str
    time_ns: int
    latitude_deg: float
    longitude_deg: float
    covariance_en_m2: tuple[float, float, float]
    course_deg: float | None = None
    speed_mps: float | None = None
    length_m: float | None = None
    velocity_covariance_en_m2ps2: tuple[float, float, float] | None = None

    @property
    def covariance(self) -> FloatArray:
        """As a matrix, east and north."""
        ee, en, nn = self.covariance_en_m2
        return np.array([[ee, en], [en, nn]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A vessel on AIS that the contact may be; `distance_m` from where AIS puts it, `sigmas` in their joint
    uncertainty, `age_s` to the nearest report, `quiet_s` without a report around the look."""

    mmsi: str
    track: int
    name: str | None
    type: str | None
    probability: float
    distance_m: float
    bearing_deg: float
    sigmas: float
    ais_sigma_m: float
    age_s: float
    quiet_s: float
    latitude_deg: float
    longitude_deg: float
    speed_difference_mps: float | None
    length_m: float | None
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One line of the card: a word for programs, a sentence for people, its numbers."""

    kind: str
    text: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """See the module. The five probabilities sum to one; `mmsi` is named with "matched" and where a vessel
    that fell silent, or a doubtful one, is known."""

    contact_id: str
    time_ns: int
    word: Word
    matched: float
    silent: float
    doubtful: float
    unheard: float
    undecided: float
    mmsi: str | None
    candidates: tuple[Candidate, ...]
    reasons: tuple[Reason, ...]
    audibility: Audibility | None = None


@dataclass(slots=True)
class _Target:
    """A track of a vessel around the looks."""

    vessel: Vessel
    track: Track
    doubts: list[Doubt]
    doubt: float
    misplaced: float

    def goes_on_elsewhere(self, time_ns: int) -> bool:
        """Whether the number was heard from another place after this track ended: it never fell silent."""
        last_ns = self.track.last.time_ns
        return last_ns < time_ns and any(
            one is not self.track
            and one.last.time_ns > last_ns
            and abs(one.last.time_ns - time_ns) < _WINDOW_NS
            for one in self.vessel.tracks
        )


@dataclass(slots=True)
class _Pair:
    prediction: Prediction
    squared: float
    density: float
    on_air: float
    quiet_s: float
    offset_density: float
    speed_difference: float | None
    away: FloatArray


class Judge:
    """Holds looks against a book of vessels and a hearing model; no clock, no store.

    `was_seen(latitude, longitude, time)` tells whether a camera had that place in its picture: True, False,
    or `None` where that is not known. `receiver` is where a receiver that moves was.
    """

    def __init__(
        self,
        config: VerdictConfig,
        book: VesselBook,
        hearing: HearingModel,
        *,
        was_seen: WasSeen | None = None,
        receiver: Receiver | None = None,
    ) -> None:
        self._config = config
        self._book = book
        self._hearing = hearing
        self._was_seen = was_seen
        self._receiver = receiver

    def judge(self, looks: Sequence[Look], now_ns: int, count: int | None = None) -> list[Verdict]:
        """A verdict for each of the first `count` looks (all when not given); the others only compete with
        them. The looks are of one time (within a minute or so), each another thing.

        `now_ns`: until when reports have been listened to.
        """
        if not looks:
            return []
        targets = self._targets(looks)
        pairs = [[self._pair(look, target, now_ns) for target in targets] for look in looks]
        ears = [self._audibility(look, now_ns) for look in looks]
        density = [self._density(look, targets) for look in looks]
        share = self._config.silent_share
        new = np.array(
            [
                one * (heard.chance * share + 1.0 - heard.chance)
                for one, heard in zip(density, ears, strict=True)
            ]
        )
        weights = np.zeros((len(looks), len(targets)))
        for row, of_look in enumerate(pairs):
            for column, pair in enumerate(of_look):
                if pair is not None and is_in_gate(pair.squared):
                    odds = self._seen_odds(targets[column], pair, looks[row])
                    weights[row, column] = pair.density * odds / new[row]
        chances = pair_weights(weights)
        return [
            self._verdict(row, looks, targets, pairs, chances, ears[row], density[row], new[row])
            for row in range(len(looks) if count is None else count)
        ]

    def _targets(self, looks: Sequence[Look]) -> list[_Target]:
        found: dict[tuple[str, int], _Target] = {}
        for look in looks:
            ee, _, nn = look.covariance_en_m2
            radius = self._config.radius_m + 6.0 * math.sqrt(max(ee, nn))
            for vessel, track in self._book.near(
                look.latitude_deg, look.longitude_deg, radius, look.time_ns, self._config.horizon_s
            ):
                key = (vessel.mmsi, track.number)
                if key in found or vessel.kind not in _REPORTING:
                    continue
                doubts = vessel.doubts(look.time_ns)
                kept = math.prod(1.0 - one.weight for one in doubts)
                found[key] = _Target(
                    vessel, track, doubts, 1.0 - kept, _misplaced(vessel, track, look.time_ns)
                )
        return [found[key] for key in sorted(found)]

    def _pair(self, look: Look, target: _Target, now_ns: int) -> _Pair | None:
        reports = target.track.all_reports()
        origin = (look.latitude_deg, look.longitude_deg)
        made = predict(reports, look.time_ns, origin, horizon_s=self._config.horizon_s)
        if made is None:
            return None
        place, hull_variance = _hull_middle(made, target.vessel)
        covariance = look.covariance + made.covariance_m2 + np.eye(2) * hull_variance
        squared = float(place @ np.linalg.solve(covariance, place))
        density = tailed_density(squared, float(np.linalg.det(covariance)))
        turned = _turned_density(place, covariance, made, target.track)  # its course of then tells nothing
        motion, difference = _motion_ratio(look, made)
        length = _length_ratio(look.length_m, target.vessel.length_m)
        density = (density * motion + turned) * length
        quiet_s = self._quiet_s(target.track, look.time_ns, now_ns)
        offset = _offset_density(place, covariance, made, target.track, look.time_ns)
        return _Pair(
            prediction=made,
            squared=squared,
            density=density,
            on_air=self._on_air(look, target, made, quiet_s),
            quiet_s=quiet_s,
            offset_density=offset * motion,
            speed_difference=difference,
            away=place,
        )

    @staticmethod
    def _quiet_s(track: Track, time_ns: int, now_ns: int) -> float:
        """The gap between reports that the look lies in; to now when none came after it."""
        before = after = None
        for report in track.all_reports():
            if report.time_ns <= time_ns:
                before = report.time_ns
            elif after is None:
                after = report.time_ns
                break
        if before is None:
            return 0.0
        end = after if after is not None else max(now_ns, time_ns)
        return max(0.0, (end - before) / _NS)

    def _on_air(self, look: Look, target: _Target, made: Prediction, quiet_s: float) -> float:
        """How likely a vessel that was quiet so long still sends, rather than having stopped."""
        if quiet_s <= _QUIET_S:
            return 1.0
        report = made.report
        interval_s = expected_interval_s(report.kind, report.sog_mps, report.status)
        grace_s = max(_QUIET_S, 3.0 * interval_s)
        chances = max(0.0, quiet_s - grace_s) / interval_s
        since_ns = look.time_ns - round((quiet_s - 180.0) * _NS)  # its own last minutes prove nothing
        listened = self._hearing.listened_s(since_ns, look.time_ns) / quiet_s
        heard = self._hearing.audibility(
            look.latitude_deg,
            look.longitude_deg,
            look.time_ns,
            chances=chances * listened,
            is_strong=report.kind == "A",
            receiver=self._receiver,
            own=target.track.per_report(),
            moved_m=(report.sog_mps or 0.0) * quiet_s,
        )
        stopped = 0.005 + 0.15 * min(1.0, quiet_s / 3600.0)
        still = (1.0 - stopped) * (1.0 - heard.chance)
        return still / (still + stopped)

    def _audibility(self, look: Look, now_ns: int) -> Audibility:
        """Whether a vessel there, that sends, would have been heard around the look; classes A and B
        mixed.
        """
        until_ns = min(max(now_ns, look.time_ns), look.time_ns + _WINDOW_NS)
        listened_s = self._hearing.listened_s(look.time_ns - _WINDOW_NS, until_ns)
        found = []
        for kind in ("A", "B"):
            speed = look.speed_mps if look.speed_mps is not None else 3.0
            interval_s = expected_interval_s(kind, speed, None)
            if look.speed_mps is None and kind == "B":
                interval_s = 60.0
            found.append(
                self._hearing.audibility(
                    look.latitude_deg,
                    look.longitude_deg,
                    look.time_ns,
                    chances=listened_s / interval_s,
                    is_strong=kind == "A",
                    receiver=self._receiver,
                )
            )
        strong, weak = found
        return Audibility(
            chance=(strong.chance + weak.chance) / 2.0,
            per_report=(strong.per_report + weak.per_report) / 2.0,
            chances=(strong.chances + weak.chances) / 2.0,
            evidence=strong.evidence + weak.evidence,
            range_m=strong.range_m,
            horizon_m=strong.horizon_m,
            is_awake=strong.is_awake,
        )

    def _density(self, look: Look, targets: Sequence[_Target]) -> float:
        """Vessels per square metre here: those on AIS within the radius, no fewer than one in 200 km^2, and
        more where they lie close: a fleet has neighbours that a mean over the whole sea hides. The nearest
        may be the thing itself, so it does not count for a fleet.
        """
        nearest: dict[str, float] = {}
        for target in targets:
            report = target.track.last
            away = offset_m(report.latitude_deg, report.longitude_deg, look.latitude_deg, look.longitude_deg)
            far = float(np.hypot(*away))
            nearest[target.vessel.mmsi] = min(far, nearest.get(target.vessel.mmsi, math.inf))
        found = 0.005 * _KM2
        radius = self._config.radius_m
        for reach_m, own in ((radius, 0), (radius / 3.0, 1), (radius / 10.0, 1)):
            near = sum(far <= reach_m for far in nearest.values())
            found = max(found, (near - own) / (math.pi * reach_m**2))
        return found

    def _seen_odds(self, target: _Target, pair: _Pair, look: Look) -> float:
        """The odds that a camera that looks here sees that vessel; even where nothing is known of the
        picture.
        """
        if self._was_seen is None:
            return 1.0
        made = pair.prediction
        middle = _moved(look, pair.away)
        if float(np.trace(made.covariance_m2)) > 300.0**2:
            return 1.0
        return {True: 9.0, False: 0.3, None: 1.0}[self._was_seen(*middle, look.time_ns)]

    def _verdict(
        self,
        row: int,
        looks: Sequence[Look],
        targets: Sequence[_Target],
        pairs: Sequence[Sequence[_Pair | None]],
        chances: FloatArray,
        ears: Audibility,
        density: float,
        new: float,
    ) -> Verdict:
        look, share = looks[row], self._config.silent_share
        mine = chances[row]
        rest = max(1e-12, 1.0 - float(mine.sum()))
        # The weights below are parts of what no vessel in the gate explains; the pairs keep their own share.
        silent = density * ears.chance * share
        unheard = density * (1.0 - ears.chance)
        offsets = self._offsets(row, look, targets, pairs, chances)
        twice = self._seen_twice(row, looks, pairs, chances)
        total = silent + unheard + float(offsets.sum()) + twice
        scale = rest / new  # the share of "none" in the pairing, over what it stood for
        norm = float(mine.sum()) + scale * total
        on_air = np.array([pair.on_air if pair is not None else 1.0 for pair in pairs[row]])
        doubt = np.array([target.doubt for target in targets])
        matched = mine * on_air * (1.0 - doubt) / norm
        elsewhere = np.array([target.goes_on_elsewhere(look.time_ns) for target in targets], dtype=bool)
        stopped = np.where(elsewhere, 0.0, mine * (1.0 - on_air)) / norm
        moved = np.where(elsewhere, mine * (1.0 - on_air), 0.0)
        odd = (mine * on_air * doubt + moved + scale * offsets) / norm
        by_vessel: dict[str, float] = {}
        for target, one in zip(targets, matched, strict=True):
            by_vessel[target.vessel.mmsi] = by_vessel.get(target.vessel.mmsi, 0.0) + float(one)
        best = max(sorted(by_vessel), key=lambda mmsi: by_vessel[mmsi], default=None)
        sure = by_vessel[best] if best is not None else 0.0
        shares = {
            "matched": sure,
            "silent": float(stopped.sum()) + scale * silent / norm,
            "doubtful": float(odd.sum()),
            "unheard": scale * unheard / norm,
            "undecided": float(matched.sum()) - sure + scale * twice / norm,
        }
        shares = self._too_vague(look, shares)
        word = self._word(shares)
        candidates = _candidates(look, targets, pairs[row], (matched + stopped + odd))
        named = _named(word, best, targets, stopped, odd)
        return Verdict(
            contact_id=look.contact_id,
            time_ns=look.time_ns,
            word=word,
            matched=shares["matched"],
            silent=shares["silent"],
            doubtful=shares["doubtful"],
            unheard=shares["unheard"],
            undecided=shares["undecided"],
            mmsi=named,
            candidates=candidates,
            reasons=tuple(_reasons(word, named, candidates, ears, look, self._config)),
            audibility=ears,
        )

    def _offsets(
        self,
        row: int,
        look: Look,
        targets: Sequence[_Target],
        pairs: Sequence[Sequence[_Pair | None]],
        chances: FloatArray,
    ) -> FloatArray:
        """Densities of "it is that vessel, and its position on AIS is wrong", for vessels that nothing
        else is.
        """
        found = np.zeros(len(targets))
        for column, (target, pair) in enumerate(zip(targets, pairs[row], strict=True)):
            if pair is None or pair.on_air < 0.5:
                continue
            free = max(0.0, 1.0 - float(chances[:, column].sum()))
            prior = 0.003 + target.misplaced
            empty = 1.0
            if self._was_seen is not None:
                seen = self._was_seen(*_moved(look, pair.away), look.time_ns)
                empty = 8.0 if seen else 1.0
            found[column] = prior * pair.offset_density * free * empty
        return found

    @staticmethod
    def _seen_twice(
        row: int, looks: Sequence[Look], pairs: Sequence[Sequence[_Pair | None]], chances: FloatArray
    ) -> float:
        """Density of "another contact is the same vessel", which has been matched already."""
        total = 0.0
        look = looks[row]
        for other, other_look in enumerate(looks):
            if other == row:
                continue
            away = offset_m(
                other_look.latitude_deg, other_look.longitude_deg, look.latitude_deg, look.longitude_deg
            )
            squared = float(away @ np.linalg.solve(look.covariance + other_look.covariance, away))
            if squared > 40.0:
                continue
            for column, pair in enumerate(pairs[row]):
                if pair is not None and is_in_gate(pair.squared):
                    total += float(chances[other, column]) * pair.density * math.exp(-0.5 * squared)
        return _TWICE_SHARE * total

    def _too_vague(self, look: Look, shares: dict[str, float]) -> dict[str, float]:
        ee, _, nn = look.covariance_en_m2
        if math.sqrt(max(ee, nn)) <= self._config.max_sigma_m:
            return shares
        return {name: float(name == "undecided") for name in shares}

    def _word(self, shares: Mapping[str, float]) -> Word:
        if shares["matched"] >= self._config.match_probability:
            return "matched"
        if shares["silent"] >= self._config.silent_probability:
            return "silent"
        if shares["doubtful"] >= 0.6:
            return "doubtful"
        return "unheard" if shares["unheard"] >= 0.5 else "undecided"


def _hull_middle(made: Prediction, vessel: Vessel) -> tuple[FloatArray, float]:
    """The middle of the hull instead of the antenna, and the variance of not knowing where it is."""
    if vessel.hull_m is None:
        return made.offset_m, 8.0**2
    bow, stern, port, starboard = vessel.hull_m
    heading = made.report.heading_deg
    if heading is None and (made.report.sog_mps or 0.0) > 1.5:
        heading = made.report.cog_deg
    if heading is None:
        return made.offset_m, ((bow + stern) / 4.0) ** 2 + 4.0
    ahead, right = (bow - stern) / 2.0, (starboard - port) / 2.0
    sine, cosine = math.sin(math.radians(heading)), math.cos(math.radians(heading))
    return made.offset_m + np.array([ahead * sine + right * cosine, ahead * cosine - right * sine]), 4.0


def _misplaced(vessel: Vessel, track: Track, time_ns: int) -> float:
    """How likely this vessel is not where AIS puts it. Two transmitters of one number are each where they
    say; one that jumped is looked for where its track of before leads to, while that is known."""
    if track.is_frozen():
        return _FROZEN_SHARE
    jumped = any(one.kind == "jump" and 0 <= time_ns - one.time_ns <= _JUMPED_NS for one in vessel.events)
    if not jumped or vessel.is_cloned(time_ns):
        return 0.0
    before = [one for one in vessel.tracks if one is not track and one.last.time_ns < track.last.time_ns]
    return 0.0 if before else _JUMPED_SHARE


def _offset_density(
    place: FloatArray, covariance: FloatArray, made: Prediction, track: Track, time_ns: int
) -> float:
    """Density (1/m^2) of a vessel whose position on AIS is wrong: where its told motion led since it stands
    still on AIS, or kilometres off in any direction."""
    sigma_m = _OFFSET_SIGMA_M
    if track.is_frozen():
        later_s = (track.last.time_ns - time_ns) / _NS
        way = np.array(track.stray_m) - later_s * made.velocity_mps
        sigma_m = 150.0 + 0.15 * float(np.hypot(*way))
        place = place + way
    spread = covariance + np.eye(2) * sigma_m**2
    squared = float(place @ np.linalg.solve(spread, place))
    return math.exp(-0.5 * squared) / (2.0 * math.pi * math.sqrt(float(np.linalg.det(spread))))


def _turned_density(place: FloatArray, covariance: FloatArray, made: Prediction, track: Track) -> float:
    """Density (1/m^2) of a vessel that has turned since its report: anywhere that its speed takes it.

    Rare for one that keeps its course, every other time for one that circled between its last reports.
    """
    way = (made.report.sog_mps or 0.0) * min(made.age_s, 300.0)
    if way < 10.0:
        return 0.0
    spread = covariance + np.eye(2) * way**2
    squared = float(place @ np.linalg.solve(spread, place))
    share = _TURNS_SHARE + 0.5 * _erratic(track)
    return share * math.exp(-0.5 * squared) / (2.0 * math.pi * math.sqrt(float(np.linalg.det(spread))))


def _erratic(track: Track) -> float:
    """The share of its last reports under way whose course was 45 degrees or more off the one before."""
    courses = [one.cog_deg for one in track.all_reports()[-8:] if (one.sog_mps or 0.0) > 1.0]
    known = [one for one in courses if one is not None]
    turns = [abs((two - one + 180.0) % 360.0 - 180.0) >= 45.0 for one, two in pairwise(known)]
    return sum(turns) / len(turns) if turns else 0.0


def _motion_ratio(look: Look, made: Prediction) -> tuple[float, float | None]:
    """How much likelier the look's velocity is as this vessel's than as anybody's; and how far they
    differ.
    """
    if look.speed_mps is None or (look.course_deg is None and look.speed_mps > 0.5):
        return 1.0, None
    course = math.radians(look.course_deg or 0.0)
    seen = np.array([math.sin(course), math.cos(course)]) * look.speed_mps
    sigma = 1.0 + 0.1 * look.speed_mps
    covariance = made.velocity_covariance + np.eye(2) * sigma**2
    if look.velocity_covariance_en_m2ps2 is not None:
        ee, en, nn = look.velocity_covariance_en_m2ps2
        covariance = made.velocity_covariance + np.array([[ee + 0.25, en], [en, nn + 0.25]])
    difference = seen - made.velocity_mps
    squared = float(difference @ np.linalg.solve(covariance, difference))
    mine = tailed_density(squared, float(np.linalg.det(covariance)))
    anybody = _SPEED_SPREAD_MPS**2 + sigma**2
    other = math.exp(-0.5 * float(seen @ seen) / anybody) / (2.0 * math.pi * anybody)
    return min(30.0, max(0.02, mine / max(other, 1e-12))), float(np.hypot(*difference))


def _length_ratio(seen_m: float | None, told_m: float | None) -> float:
    """The same for the length: seen lengths are good to a third."""
    if not seen_m or not told_m:
        return 1.0
    apart = math.log(seen_m / told_m) / 0.35
    return min(3.0, max(0.05, 3.0 * math.exp(-0.5 * apart * apart)))


def _moved(look: Look, away_m: FloatArray) -> tuple[float, float]:
    latitude = look.latitude_deg + float(away_m[1]) / 111_319.490793
    scale = 111_319.490793 * max(0.01, math.cos(math.radians(look.latitude_deg)))
    return latitude, (look.longitude_deg + float(away_m[0]) / scale + 180.0) % 360.0 - 180.0


def _candidates(
    look: Look, targets: Sequence[_Target], pairs: Sequence[_Pair | None], shares: FloatArray
) -> tuple[Candidate, ...]:
    """The likeliest five, and of the others the nearest two: what was looked at and did not fit."""
    found = []
    for target, pair, share in zip(targets, pairs, shares, strict=True):
        if pair is None:
            continue
        latitude, longitude = _moved(look, pair.away)
        found.append(
            Candidate(
                mmsi=target.vessel.mmsi,
                track=target.track.number,
                name=target.vessel.name,
                type=type_name(target.vessel.ship_type),
                probability=float(share),
                distance_m=float(np.hypot(*pair.away)),
                bearing_deg=math.degrees(math.atan2(pair.away[0], pair.away[1])) % 360.0,
                sigmas=math.sqrt(pair.squared),
                ais_sigma_m=math.sqrt(float(np.trace(pair.prediction.covariance_m2)) / 2.0),
                age_s=pair.prediction.age_s,
                quiet_s=pair.quiet_s,
                latitude_deg=latitude,
                longitude_deg=longitude,
                speed_difference_mps=pair.speed_difference,
                length_m=target.vessel.length_m,
                doubts=tuple(target.doubts),
            )
        )
    likely = sorted(found, key=lambda one: (-one.probability, one.distance_m))[:5]
    likely = [one for one in likely if one.probability >= 0.001]
    near = [one for one in sorted(found, key=lambda one: one.distance_m) if one not in likely][:2]
    return (*likely, *near)


def _named(
    word: Word, best: str | None, targets: Sequence[_Target], stopped: FloatArray, odd: FloatArray
) -> str | None:
    """The vessel that the verdict is about, where it is about one."""
    if word == "matched":
        return best
    shares = {"silent": stopped, "doubtful": odd}.get(word)
    if shares is None or not len(shares) or float(shares.max()) < 0.5:
        return None
    return targets[int(shares.argmax())].vessel.mmsi


def _reasons(
    word: Word,
    named: str | None,
    candidates: Sequence[Candidate],
    ears: Audibility,
    look: Look,
    config: VerdictConfig,
) -> list[Reason]:
    """The lines of the card, the weightiest first."""
    ee, _, nn = look.covariance_en_m2
    sigma = math.sqrt(max(ee, nn))
    if sigma > config.max_sigma_m:
        text = f"the look is too vague: one sigma is {sigma:.0f} m, {config.max_sigma_m:.0f} m at most decide"
        return [Reason(kind="vague_look", text=text, values={"sigma_m": sigma})]
    found = []
    for one in candidates:
        if one.probability >= 0.05:
            found.append(_fit(one))
            if one.quiet_s > _QUIET_S:
                found.append(_quiet(one, word))
            found += [Reason(kind=doubt.kind, text=doubt.text) for doubt in one.doubts]
    if not found:
        found.append(_nobody(candidates, config))
    likely = [one for one in candidates if one.probability >= 0.1]
    if word == "undecided" and len(likely) > 1:
        found.append(Reason(kind="several_fit", text=f"{len(likely)} vessels on AIS fit this look"))
    if word != "matched":
        found.append(_heard(ears))
    if word == "silent" and named is None:
        text = "no AIS heard for this vessel; small craft need not carry it, and sets fail"
        found.append(Reason(kind="silent", text=text))
    return found


def _fit(one: Candidate) -> Reason:
    title = f"{one.name} (MMSI {one.mmsi})" if one.name else f"MMSI {one.mmsi}"
    text = (
        f"{title} was {one.distance_m:.0f} m from it by AIS, {one.sigmas:.1f} sigmas of both uncertainties; "
        f"its "
        f"nearest report is {one.age_s:.0f} s away"
    )
    values = {"distance_m": one.distance_m, "sigmas": one.sigmas, "age_s": one.age_s}
    return Reason(kind="fits", text=text, values=values)


def _quiet(one: Candidate, word: Word) -> Reason:
    minutes = one.quiet_s / 60.0
    text = f"no report of MMSI {one.mmsi} was heard for {minutes:.0f} minutes around the look"
    return Reason(kind="quiet", text=text, values={"quiet_s": one.quiet_s})


def _nobody(candidates: Sequence[Candidate], config: VerdictConfig) -> Reason:
    if not candidates:
        text = f"no vessel on AIS is within {config.radius_m / 1000:.0f} km of it"
        return Reason(kind="nobody_near", text=text, values={"radius_m": config.radius_m})
    near = min(candidates, key=lambda one: one.distance_m)
    text = (
        f"no vessel on AIS fits: the nearest, MMSI {near.mmsi}, was {near.distance_m:.0f} m away "
        f"({near.sigmas:.1f} sigmas)"
    )
    return Reason(
        kind="nobody_fits", text=text, values={"distance_m": near.distance_m, "sigmas": near.sigmas}
    )


def _heard(ears: Audibility) -> Reason:
    values = {
        "chance": ears.chance,
        "per_report": ears.per_report,
        "chances": ears.chances,
        "evidence": ears.evidence,
    }
    where = ""
    if ears.range_m is not None and ears.horizon_m is not None:
        where = f", {ears.range_m / 1000:.0f} km off (radio horizon {ears.horizon_m / 1000:.0f} km),"
        values |= {"range_m": ears.range_m, "horizon_m": ears.horizon_m}
    if not ears.is_awake:
        text = "our receiver heard nobody around the look: it cannot have heard this vessel either"
        return Reason(kind="deaf", text=text, values=values)
    known = f"our receiver gets {ears.per_report:.0%} of the reports from thereabouts"
    if ears.evidence < _LITTLE_EVIDENCE:
        known = (
            "hardly anybody was heard from thereabouts yet, so that our receiver gets "
            f"{ears.per_report:.0%} of the reports from there is a guess by range and bearing"
        )
    text = f"a vessel there{where} that sends would have been heard with {ears.chance:.0%}: {known}"
    return Reason(kind="could_hear" if ears.chance >= 0.9 else "could_not_hear", text=text, values=values)
