"""Everything that leaves an exercise's station says so: every route is walked, and every feed is listened to.

A route that is added later is walked too; one with a new kind of path parameter fails until it is named here,
and one that hands out content without the mark fails until it carries it.
"""

import io
import json
import re
import socket
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from mcap.reader import make_reader
from pymavlink.dialects.v20 import ardupilotmega

from ground.accounts.roles import Permission
from ground.ais.config import AisConfig
from ground.alerts.rules import Rule
from ground.config import GroundConfig
from ground.exercise.mark import EXERCISE, HEADER
from ground.mavlink_out.config import MavlinkOutConfig
from ground.review.desk import all_contacts
from ground.serve import GroundHandle, start_ground
from ground.store.reading import Filter
from ground.tak.config import TakFeedConfig
from ground.tak.event import CotPoint
from ground.tak.things import as_exercise, gone_event
from skywarden.ais.compose import compose_sentences
from skywarden.ais.reports import read_report
from skywarden.ais.sentences import SentenceReader
from skywarden.clock import SystemClock
from tests.ground.report.night import START_NS, UNTIL_NS, make_night

LIMIT_S = 30.0
MMSI = "230108610"
SINCE = "2025-11-21T20:00:00Z"


class LaterClock(SystemClock):
    """The machine's clock on another day."""

    def __init__(self, utc_ns: int) -> None:
        self._ahead_ns = utc_ns - time.time_ns()

    def utc_ns(self) -> int:
        return time.time_ns() + self._ahead_ns


@dataclass
class Drilled:
    """A running exercise with a night in its store, and what its neighbours hear."""

    handle: GroundHandle
    key: str
    tak: socket.socket
    mavlink: socket.socket

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(
            self.handle.http_url + path, headers={"Authorization": f"Bearer {self.key}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with closing(error):
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    folder = tmp_path_factory.mktemp("drill") / "ground"
    make_night(folder, is_exercise=True).close()
    with ExitStack() as stack:
        ears = [
            stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))) for _ in range(2)
        ]
        for ear in ears:
            ear.bind(("127.0.0.1", 0))
            ear.settimeout(LIMIT_S)
        tak, mavlink = (ear.getsockname()[1] for ear in ears)
        every_tak = ("contacts", "tracks", "plots", "platforms", "ais")
        every_word = ("ais_vessel", "adsb_vehicle", "tracking_geo", "statustext")
        config = GroundConfig(
            state=str(folder),
            http="127.0.0.1:0",
            link="127.0.0.1:0",
            exercise=True,
            ais=AisConfig(),
            tak=(
                msgspec.convert(
                    {
                        "url": f"udp://127.0.0.1:{tak}",
                        "what": every_tak,
                        "unreviewed": True,
                        "protocol": "xml",
                    },
                    TakFeedConfig,
                ),
            ),
            mavlink_out=(
                msgspec.convert(
                    {
                        "connection": f"udpout:127.0.0.1:{mavlink}",
                        "what": every_word,
                        "unreviewed": True,
                        "keep_s": 7_200.0,
                        "interval_s": 0.5,
                    },
                    MavlinkOutConfig,
                ),
            ),
        )
        handle = start_ground(config, LaterClock(UNTIL_NS))
        stack.callback(handle.stop)
        _hear_a_vessel(handle)
        handle.alerts.put_rule(
            Rule(rule_id="any", name="Any vessel", trigger="anywhere", labels=("vessel",)), "ana"
        )
        handle.alerts.observe([one.contact for one in all_contacts(handle.store, Filter(limit=50))])
        assert handle.alerts.log.newest(1)
        yield Drilled(handle, handle.program_key(), *ears)


def _hear_a_vessel(handle: GroundHandle) -> None:
    reader, now_ns = SentenceReader(), UNTIL_NS
    for sentence in compose_sentences({"type": 1, "mmsi": MMSI, "lat": 36.98, "lon": -8.94, "speed": 9.0}):
        whole = reader.take(sentence, now_ns)
        if whole is not None:
            handle.ais.take("one", read_report(whole))


def _contact(drilled: Drilled, label: str) -> Any:
    found = all_contacts(drilled.handle.store, Filter(limit=50))
    book = drilled.handle.review.book()
    return next(
        one.contact
        for one in found
        if one.contact.label == label and book.of_contact(one.contact.track_ids).state == "confirmed"
    )


def _examples(drilled: Drilled) -> dict[str, list[str]]:
    """A value for each path parameter; a new one has to be named here."""
    contact = _contact(drilled, "vessel")
    sorties = json.loads(drilled.get("/api/v1/sorties")[2])["items"]
    plots = json.loads(drilled.get("/api/v1/plots")[2])
    looks, _ = drilled.handle.store.sightings(Filter(limit=200))
    return {
        "contact_id": [contact.contact_id],
        "form": ["geojson", "csv", "kml", "kmz", "gpx", "gpkg"],
        "name": [sorties[0]["item_id"]],
        "plot_id": [plots["features"][0]["id"]],
        "chip_id": [next(one.chip_id for one in looks if one.chip_id is not None)],
        "mmsi": [MMSI],
        "alert_id": [drilled.handle.alerts.log.newest(1)[0].alert.alert_id],
        "collection_id": ["contacts", "sightings", "tracks", "plots", "ais"],
        "feature_id": ["none"],
        "file": ["none.geojson"],
        "tasking_id": ["none"],
        "number": ["1"],
        "zone_id": ["none"],
        "rule_id": ["any"],
        "sighting_id": [looks[0].sighting.sighting_id],
        "platform_id": ["uav07"],
        "camera": ["eo"],
        "sensor_id": ["eo"],
    }


ASKED = {
    "/api/v1/report": f"?since={SINCE}&unreviewed=true",
    "/api/v1/past/span": f"?since={SINCE}&until=2025-11-21T20:30:00Z",
    "/api/v1/coverage": "?bbox=-9,36.9,-8.9,37",
    "/api/v1/places": "?bbox=-9,36.9,-8.9,37",
    "/api/v1/exports/{form}": "?unreviewed=true",
    "/api/v1/plans/orbit/{contact_id}": f"?unreviewed=true&at={SINCE}",
    "/api/v1/plans/survey/{plot_id}": "?unreviewed=true",
    "/api/v1/sorties/{name}/recording.mcap": "?unreviewed=true",
}
WITHOUT_CONTENT = ("/ogc/conformance", "/ogc/api", "/ogc/collections/{collection_id}/queryables")
"""Pages of the exports that say nothing of what is in the store."""


def _addresses(path: str, examples: dict[str, list[str]]) -> list[str]:
    names = re.findall(r"{([^}:]+)", path)
    unknown = sorted(set(names) - set(examples))
    assert not unknown, f"{path}: give an example for {unknown[0]}, so that its answer is looked at"
    found = [path]
    for name in names:
        found = [re.sub(r"{" + name + r"[^}]*}", value, one) for one in found for value in examples[name]]
    return [one + ASKED.get(path, "") for one in found]


def _readable(data: bytes) -> bytes:
    """What is inside of archives and recordings too."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return b"".join(archive.read(name) for name in archive.namelist())
    if data.startswith(b"\x89MCAP"):
        return b"".join(message.data for _, _, message in make_reader(io.BytesIO(data)).iter_messages())
    return data


def test_every_answer_says_exercise_and_every_file_says_it_in_name_and_content(drilled: Drilled) -> None:
    examples = _examples(drilled)
    looked = 0
    for rule in drilled.handle.rules:
        if "GET" not in rule.methods or rule.path in ("/api/v1/live", "/{path:path}"):
            continue
        for address in _addresses(rule.path, examples):
            status, headers, body = drilled.get(address)
            where = f"GET {address}: {status}"
            assert status < 500, where
            assert headers.get(HEADER) == "EXERCISE", where
            name = re.search(r'filename="([^"]*)"', headers.get("content-disposition", ""))
            leaves = rule.permission in (Permission.EXPORT, Permission.SEE_SHARED) or name is not None
            if status == 200 and leaves and rule.path not in WITHOUT_CONTENT:
                looked += 1
                assert b"EXERCISE" in _readable(body), f"{where} leaves the station without the mark"
            if name is not None:
                assert name[1].startswith("EXERCISE-"), f"{where}: {name[1]}"
            if headers.get("content-type", "").startswith("text/html") and name is None and status == 200:
                assert body.count(b'<p id="exercise-mark"') == 1, where
                assert b"<title>EXERCISE" in body, where
    assert looked >= 20


def test_those_who_may_not_come_in_are_told_too(drilled: Drilled) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(drilled.handle.http_url + "/api/v1/contacts", timeout=LIMIT_S)
    with closing(refused.value):
        assert refused.value.code == 401
        assert refused.value.headers[HEADER] == "EXERCISE"
    status, _, body = drilled.get("/api/v1/status")
    assert status == 200
    assert json.loads(body)["is_exercise"] is True


def test_the_live_stream_says_it_in_its_head_and_its_first_words(drilled: Drilled) -> None:
    request = urllib.request.Request(
        f"{drilled.handle.http_url}/api/v1/live", headers={"Authorization": f"Bearer {drilled.key}"}
    )
    with urllib.request.urlopen(request, timeout=LIMIT_S) as stream:
        assert stream.headers[HEADER] == "EXERCISE"
        for line in stream:
            if line.startswith(b"data:") and b"is_exercise" in line:
                assert b'"is_exercise":true' in line.replace(b" ", b"")
                break


def test_every_event_that_tak_hears_is_an_exercise(drilled: Drilled) -> None:
    kinds: set[str] = set()
    while not {"exercise.MMSI-" + MMSI} <= kinds or not any("plot." in one for one in kinds):
        data = drilled.tak.recv(65_536).decode()
        uid = re.search(r' uid="([^"]*)"', data)
        assert uid is not None
        assert uid[1].startswith("exercise."), data
        assert ' opex="e"' in data, data
        assert ' how="m-s"' in data, data
        assert 'callsign="EXERCISE ' in data, data
        assert ">EXERCISE" in data, data
        kinds.add(uid[1])


def test_what_is_taken_off_a_map_is_marked_and_is_never_something_real() -> None:
    point = CotPoint(latitude_deg=1.0, longitude_deg=2.0)
    gone = gone_event("exercise.MMSI-1", "a-u-S-X", point, UNTIL_NS)
    assert (gone.uid, gone.opex, gone.how) == ("exercise.MMSI-1.gone", "e", "m-s")
    assert as_exercise(gone) is gone
    assert gone_event("MMSI-1", "a-u-S-X", point, UNTIL_NS).opex == ""
    marked = as_exercise(gone_event("MMSI-1", "a-u-S-X", point, UNTIL_NS))
    assert ("uid", "exercise.MMSI-1") in marked.details[0].attributes


def test_every_message_that_a_mavlink_station_hears_is_marked_or_says_nothing(drilled: Drilled) -> None:
    reader = ardupilotmega.MAVLink(None)
    reader.robust_parsing = True
    kinds: set[str] = set()
    while not kinds >= {"HEARTBEAT", "AIS_VESSEL", "ADSB_VEHICLE", "STATUSTEXT"}:
        for one in reader.parse_buffer(drilled.mavlink.recv(65_536)) or []:
            kind = one.get_type()
            kinds.add(kind)
            if kind == "AIS_VESSEL":
                assert one.name.startswith("EXERCISE"), one
            elif kind == "STATUSTEXT" and one.chunk_seq == 0:
                assert one.text.startswith("EXERCISE"), one
            elif kind == "ADSB_VEHICLE":
                assert one.callsign.startswith("X"), one
                assert one.flags & 64, one  # ADSB_FLAGS_SIMULATED
            else:
                assert kind in ("HEARTBEAT", "STATUSTEXT"), f"{kind} has no room for the mark"


def test_what_lies_on_the_disk_for_other_programs_says_it_too(drilled: Drilled) -> None:
    state = drilled.handle.state_dir
    assert "EXERCISE" in (state / "EXERCISE.txt").read_text()
    assert EXERCISE.is_exercise
    assert START_NS < UNTIL_NS
