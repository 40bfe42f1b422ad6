"""AIS at a running station: sources of every kind, what is kept over a restart, routes, command line."""

import csv
import dataclasses
import io
import json
import os
import socket
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ground.ais.board import VerdictBoard
from ground.ais.config import AisConfig, AisSourceConfig, VerdictConfig
from ground.ais.store import AisStore, Batch, ais_path
from ground.ais.watch import AisWatch
from ground.cli import app
from ground.config import ContactsConfig, GroundConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from ground.serve import GroundHandle, start_ground
from ground.store.reading import StoredContact
from ground.store.sqlite import SqliteStore
from skywarden.ais.compose import compose_sentences
from skywarden.ais.fields import Value
from skywarden.ais.reports import read_report
from skywarden.ais.sentences import SentenceReader
from skywarden.clock import SystemClock
from skywarden.errors import InputError, StoreError
from skywarden.mavlink.synth import MessageMaker
from tests.ground.ais.test_ais_logic import START_NS, S, report
from tests.ground.scenes import authorization, position, until

SENTENCE = next(compose_sentences({"type": 1, "mmsi": "230108610", "lat": 0.01, "lon": 20.02, "speed": 9.0}))
NAME = list(
    compose_sentences({"type": 5, "mmsi": "230108610", "shipname": "MARIA", "shiptype": 30}, sequence=2)
)


class FixedClock(SystemClock):
    """A clock that stands where it is put."""

    def __init__(self, utc_ns: int) -> None:
        self.now_ns = utc_ns

    def utc_ns(self) -> int:
        return self.now_ns


def watching(
    stack: ExitStack, folder: Path, connection: str = "", *, clock: Any = None, **more: Any
) -> AisWatch:
    """A watch with one source, stopped at the end."""
    sources = (AisSourceConfig(name="one", connection=connection, **more),) if connection else ()
    watch = AisWatch(AisConfig(source=sources), AisStore(ais_path(folder)), clock or SystemClock())
    stack.callback(watch.stop)
    watch.start()
    return watch


def heard(watch: AisWatch) -> bool:
    found = watch.vessel("230108610")
    return found is not None and found[0].name == "MARIA" and found[0].position is not None


def open_port(watch: AisWatch) -> tuple[str, int]:
    until(lambda: watch.sources[0].address is not None, 30.0)
    address = watch.sources[0].address
    assert address is not None
    return address


def test_sentences_come_over_udp_with_nonsense_between(tmp_path: Path) -> None:
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, "udpin:127.0.0.1:0")
        address = open_port(watch)
        sender = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        for data in (b"\xff\x00 nonsense", b"!AIVDM,1,1,,A,broken*00", NAME[0] + b"\r\n" + NAME[1], SENTENCE):
            sender.sendto(data, address)
        until(lambda: heard(watch), 30.0)
        (source,), counts = watch.status()
        assert (source.is_open, source.illegal, source.whole) == (True, 1, 2)
        assert counts["vessels"] == 1


@pytest.mark.slow
def test_a_feed_is_called_over_tcp_and_called_again_when_it_hangs_up(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        server.settimeout(30.0)
        watch = watching(stack, tmp_path, f"tcp:127.0.0.1:{server.getsockname()[1]}")
        for lines in ([SENTENCE], NAME):
            feed = stack.enter_context(closing(server.accept()[0]))
            feed.sendall(b"\n".join(lines) + b"\n")
            feed.close()
        until(lambda: heard(watch), 30.0)


def test_a_feed_may_call_us_over_tcp(tmp_path: Path) -> None:
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, "tcpin:127.0.0.1:0")
        client = stack.enter_context(closing(socket.create_connection(open_port(watch), 30.0)))
        data = b"\r\n".join([*NAME, SENTENCE, b""])
        for start in range(0, len(data), 7):
            client.sendall(data[start : start + 7])
        until(lambda: heard(watch), 30.0)


def test_a_receiver_on_a_serial_line_is_read(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ours, theirs = os.openpty()
        stack.callback(os.close, ours)
        stack.callback(os.close, theirs)
        watch = watching(stack, tmp_path, f"serial:{os.ttyname(theirs)}:38400")
        until(lambda: watch.sources[0].is_open, 30.0)
        os.write(ours, b"\n".join([*NAME, SENTENCE, b""]))
        until(lambda: heard(watch), 30.0)


def test_a_file_is_played_once_and_one_that_is_not_there_is_a_notice(tmp_path: Path) -> None:
    log = tmp_path / "log.nmea"
    log.write_bytes(b"\n".join([*NAME, b"$GPRMC,1*00", SENTENCE]))
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, f"file:{log}")
        until(lambda: watch.sources[0].is_done, 30.0)
        assert heard(watch)
        lost = watching(stack, tmp_path / "other", f"file:{tmp_path}/no.nmea")
        until(lambda: bool(lost.problems()), 30.0)
        assert "no AIS from one" in lost.problems()[0]


def test_vessels_that_an_autopilot_hears_come_by_mavlink(tmp_path: Path) -> None:
    synth = MessageMaker(1, 1)
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, "udpin:127.0.0.1:0", format="mavlink")
        sender = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        frame = synth.ais_vessel(
            mmsi=230108610, latitude_deg=0.01, longitude_deg=20.02, course_deg=90.0, speed_mps=4.0,
            name="MARIA", age_s=5, dimensions_m=(20, 5, 3, 3), flags=8215, navigational_status=0,
        )  # fmt: skip
        sender.sendto(b"\x00junk" + frame, open_port(watch))
        until(lambda: heard(watch), 30.0)
        found = watch.vessel("230108610")
        assert found is not None
        vessel = found[0]
        place = vessel.position
        assert place is not None
        assert (place.latitude_deg, place.longitude_deg) == pytest.approx((0.01, 20.02))
        assert (place.sog_mps, place.cog_deg, vessel.length_m) == (4.0, 90.0, 25.0)
        assert place.received_ns - place.time_ns == 5 * S


def test_what_was_heard_is_there_after_a_restart_and_goes_when_it_is_old(tmp_path: Path) -> None:
    clock = FixedClock(START_NS + 1_000 * S)
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, clock=clock)
        watch.take("one", tuple(report(second, 5.0 * second, 0) for second in range(0, 1_000, 10)))
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, clock=clock)
        found = watch.vessel("230108610")
        assert found is not None
        assert len(found[0].tracks[0].reports) == 100
        assert watch.status()[1]["kept_reports"] == 100
    store = AisStore(ais_path(tmp_path))
    try:
        assert store.expire(START_NS + 500 * S) == 50
        assert len(store.reports(0, START_NS + 10**4 * S)) == 50
        assert len(store.reports(0, START_NS + 10**4 * S, mmsi="111111111")) == 0
    finally:
        store.close()


def test_a_file_of_another_program_is_not_touched(tmp_path: Path) -> None:
    import apsw

    other = apsw.Connection(str(ais_path(tmp_path)))
    other.execute("CREATE TABLE theirs(a)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        AisStore(ais_path(tmp_path))


def test_the_same_report_twice_is_kept_once(tmp_path: Path) -> None:
    store = AisStore(ais_path(tmp_path))
    try:
        for _ in range(2):
            store.write(Batch(reports=[("one", report(0, 0, 0))], minutes={5: 2}))
        assert store.counts()["reports"] == 1
        assert store.minutes(0, 10**12) == {5: 4}
    finally:
        store.close()


def contact(at_s: float, east_m: float, north_m: float, *, name: str = "c-1", label: str = "boat") -> Contact:
    time_ns = START_NS + round(at_s * S)
    return Contact(
        contact_id=name, label=label, score=0.9, first_ns=time_ns, last_ns=time_ns, platform_ids=("uav07",),
        track_ids=(f"t-{name}",), sighting_count=1, position=position(north_m, east_m, 15.0), bearing=None,
        bearing_from=None, no_position_reason=None, course_deg=None, speed_mps=None, model_id="m",
        is_exercise=False, position_ns=time_ns,
    )  # fmt: skip


def test_a_contact_of_now_and_one_of_yesterday_get_the_same_verdict(tmp_path: Path) -> None:
    clock = FixedClock(START_NS + 1_000 * S)
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, f"file:{tmp_path}/none.nmea", clock=clock)
        watch.take("one", tuple(report(second, 5.0 * second, 0) for second in range(0, 1_000, 10)))
        now = watch.verdict(contact(900, 4_505, 4), [contact(880, 9_000, 300, name="c-2")])
        watch.flush()
        clock.now_ns += 86_400 * S
        later = watch.verdict(contact(900, 4_505, 4), [])
        assert (now.word, now.mmsi) == (later.word, later.mmsi) == ("matched", "230108610")
        house = watch.verdict(contact(900, 4_505, 4, label="building"), [])
        assert (house.word, house.reasons[0].kind) == ("undecided", "not_a_vessel")
        nameless = watch.verdict(contact(900, 4_505, 4, label="anomaly"), [])
        assert (nameless.word, nameless.mmsi) == (now.word, now.mmsi)
        nowhere = watch.verdict(msgspec.structs.replace(contact(900, 0, 0), position=None), [])
        assert nowhere.reasons[0].kind == "no_position"
    with ExitStack() as stack:
        deaf = watching(stack, tmp_path / "deaf", clock=clock)
        assert deaf.verdict(contact(900, 0, 0), []).word == "unheard"


def test_what_nobody_calls_a_vessel_is_never_silent(tmp_path: Path) -> None:
    clock = FixedClock(START_NS + 1_000 * S)
    source = AisSourceConfig(name="one", connection=f"file:{tmp_path}/none.nmea")
    config = AisConfig(source=(source,), verdict=VerdictConfig(silent_probability=0.3))
    with ExitStack() as stack:
        watch = AisWatch(config, AisStore(ais_path(tmp_path)), clock)
        stack.callback(watch.stop)
        watch.start()
        watch.take("one", tuple(report(second, 5.0 * second, 0) for second in range(0, 1_000, 10)))
        silent = watch.verdict(contact(900, 4_505, 900), [])
        assert silent.word == "silent"
        hut = watch.verdict(contact(900, 4_505, 900, label="anomaly"), [])
        assert (hut.word, hut.silent, hut.reasons[0].kind) == ("undecided", 0.0, "not_said_a_vessel")
        assert "silent" not in {one.kind for one in hut.reasons}
        assert sum((hut.matched, hut.doubtful, hut.unheard, hut.undecided)) == pytest.approx(1.0)


def test_a_board_judges_what_it_can_in_its_time_and_keeps_it(tmp_path: Path) -> None:
    clock = FixedClock(START_NS + 1_000 * S)
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, f"file:{tmp_path}/none.nmea", clock=clock)
        watch.take("one", tuple(report(second, 5.0 * second, 0) for second in range(0, 1_000, 10)))
        store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
        stack.callback(store.close)
        board = VerdictBoard(watch, store, clock, share=1.0)
        contacts = [
            StoredContact(contact=one, best_chip_id=None, revision=1)
            for one in (
                contact(900, 4_505, 4),
                contact(900, 0, 0, name="c-house", label="building"),
                contact(900, 90_000, 0, name="c-far"),
            )
        ]
        found, pending = board.standings(contacts, limit_s=0.0)
        assert ([(one.contact_id, one.word, one.mmsi) for one in found], pending) == (
            [("c-1", "matched", "230108610")],
            1,
        )
        assert [one.contact_id for one in board.standings(contacts)[0]] == ["c-1", "c-far"]
        assert board.standings(contacts, limit_s=0.0)[1] == 0
        changed = [dataclasses.replace(one, revision=2) for one in contacts]
        assert board.standings(changed, limit_s=0.0)[1] == 1
        assert board.standings(changed)[1] == 0
        clock.now_ns += 31 * S
        assert board.standings(changed, limit_s=0.0)[1] == 1, "other reports may have come"


def _tag_of(ground: GroundHandle, path: str) -> str:
    request = urllib.request.Request(f"{ground.http_url}{path}", headers=dict([authorization(ground)]))
    with urllib.request.urlopen(request, timeout=30.0) as answer:
        return str(answer.headers["ETag"])


def ask(ground: GroundHandle, path: str, tag: str = "") -> Any:
    headers = dict([authorization(ground)]) | ({"If-None-Match": tag} if tag else {})
    request = urllib.request.Request(f"{ground.http_url}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=30.0) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_api_shows_vessels_sources_and_one_vessel(tmp_path: Path) -> None:
    source = AisSourceConfig(
        name="mast", connection="udpin:127.0.0.1:0", latitude_deg=0.0, longitude_deg=20.0
    )
    config = GroundConfig(
        state=str(tmp_path / "ground"),
        http="127.0.0.1:0",
        link="127.0.0.1:0",
        ais=AisConfig(source=(source,)),
    )
    handle = start_ground(config)
    try:
        (status,) = ask(handle, "/api/v1/ais/status")["sources"]
        assert (status["name"], status["format"], status["fault"]) == ("mast", "nmea", None)
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
            until(lambda: ask(handle, "/api/v1/ais/status")["sources"][0]["is_open"], 30.0)
            # The port is a free one; the API does not tell it, the source does.
            sender.sendto(b"\n".join([*NAME, SENTENCE, b""]), open_port(handle.ais))
            until(lambda: ask(handle, "/api/v1/ais/vessels")["number_matched"] == 1, 30.0)
        (vessel,) = ask(handle, "/api/v1/ais/vessels?bbox=19,-1,21,1&since=2020-01-01T00:00:00Z")["items"]
        assert ask(handle, "/api/v1/ais/vessels?offset=1")["items"] == []
        assert (vessel["mmsi"], vessel["name"], vessel["type"]) == ("230108610", "MARIA", "fishing")
        assert vessel["position"]["latitude_deg"] == pytest.approx(0.01)
        assert ask(handle, "/api/v1/ais/vessels?bbox=30,-1,31,1")["items"] == []
        assert ask(handle, "/api/v1/ais/verdicts?bbox=19,-1,21,1") == {"items": [], "pending": 0}
        with pytest.raises(urllib.error.HTTPError) as unchanged:
            ask(handle, "/api/v1/ais/vessels", tag=_tag_of(handle, "/api/v1/ais/vessels"))
        with closing(unchanged.value):
            assert unchanged.value.code == 304
        assert len(ask(handle, "/api/v1/ais/vessels/230108610")["tracks"][0]["places"]) == 1
        for path in ("/api/v1/ais/vessels/000", "/api/v1/contacts/c-none/ais"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(handle, path)
            with closing(refused.value):
                assert refused.value.code == 404
    finally:
        handle.stop()


def test_the_command_decodes_a_file_to_lines_and_to_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.nmea"
    formula = compose_sentences({"type": 24, "mmsi": "230108611", "partno": 0, "shipname": "=1+1"})
    log.write_bytes(b"\n".join([*NAME, b"!AIVDM,1,1,,A,15,0*00", SENTENCE, *formula]))
    assert app(["ais", "decode", str(log)], result_action="return_value") == 0
    out, said = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["type"] for row in rows] == [5, 1, 24]
    assert (rows[0]["shipname"], rows[1]["mmsi"], rows[1]["speed"]) == ("MARIA", "230108610", 9.0)
    assert "1 illegal" in said
    table = tmp_path / "log.csv"
    assert (
        app(["ais", "decode", str(log), "--format", "csv", "--out", str(table)], result_action="return_value")
        == 0
    )
    written = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert [row["shipname"] for row in written] == ["MARIA", "", "'=1+1"]
    (tmp_path / "no.txt").write_text("nothing\n")
    with pytest.raises(InputError, match="none of 1 lines is AIS"):
        app(["ais", "decode", str(tmp_path / "no.txt")], result_action="return_value")


def test_the_command_tells_what_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = AisStore(ais_path(tmp_path))
    store.write(Batch(reports=[("one", report(0, 0, 0))], minutes={START_NS // (60 * S): 1}))
    store.close()
    assert app(["ais", "status", "--state", str(tmp_path), "--json"], result_action="return_value") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["reports"], told["vessels"], told["sources"]) == (1, 0, [])
    assert told["last_heard"].startswith("2025-11-13")


def _sentence_of(mmsi: str, north_m: float, east_m: float, at_s: float, course_deg: float) -> bytes:
    second = (START_NS // S + round(at_s)) % 60
    values: dict[str, Value] = {
        "type": 1,
        "mmsi": mmsi,
        "status": 0,
        "lat": north_m / 111_319.49,
        "lon": 20.0 + east_m / 111_319.49,
        "speed": 10.0,
        "course": course_deg,
        "second": second,
    }
    return next(compose_sentences(values))


def test_two_hulls_under_one_number_are_both_doubtful_and_neither_is_called_silent(tmp_path: Path) -> None:
    """A clone forty kilometres from its original: real sentences of both, and a camera on each."""
    knot_mps, clock = 1852.0 / 3600.0, FixedClock(START_NS)
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, "udpin:127.0.0.1:0", clock=clock)
        reader = SentenceReader()
        for step in range(90):
            way = 10.0 * knot_mps * step * 10.0
            clock.now_ns = START_NS + step * 10 * S
            for sentence in (
                _sentence_of("230108610", way, 0.0, step * 10.0, 0.0),
                _sentence_of("230108610", 40_000.0, way, step * 10.0, 90.0),
                _sentence_of("230999999", 3_000.0, way, step * 10.0, 90.0),
            ):
                heard = reader.take(sentence, clock.now_ns)
                assert heard is not None
                watch.take("one", read_report(heard))
        seen = [
            _contact_at("c-first", way, 0.0, clock.now_ns),
            _contact_at("c-second", 40_000.0, way, clock.now_ns),
            _contact_at("c-other", 3_000.0, way, clock.now_ns),
        ]
        verdicts = {one.contact_id: watch.verdict(one, seen) for one in seen}
        late = _contact_at("c-late", 20_000.0, way, clock.now_ns - 40 * S)
        together = watch.verdicts([*seen, late], [])
    assert set(together) == {*verdicts, "c-late"}
    for name, alone in verdicts.items():
        joint = together[name]
        assert (joint.word, joint.mmsi) == (alone.word, alone.mmsi)
        assert (joint.matched, joint.silent, joint.doubtful) == pytest.approx(
            (alone.matched, alone.silent, alone.doubtful), abs=0.02
        )
    assert verdicts["c-other"].word == "matched"
    for name in ("c-first", "c-second"):
        assert verdicts[name].word == "doubtful", verdicts[name]
        assert verdicts[name].mmsi == "230108610"
        assert any(reason.kind == "clone" for reason in verdicts[name].reasons)
        assert verdicts[name].silent < 0.05


def _contact_at(contact_id: str, north_m: float, east_m: float, at_ns: int) -> Contact:
    return Contact(
        contact_id=contact_id,
        label="vessel",
        score=0.9,
        first_ns=at_ns,
        last_ns=at_ns,
        platform_ids=("uav07",),
        track_ids=(contact_id,),
        sighting_count=9,
        position=position(north_m, east_m, 15.0),
        bearing=None,
        bearing_from=None,
        no_position_reason=None,
        course_deg=None,
        speed_mps=None,
        model_id="m",
        is_exercise=False,
        position_ns=at_ns,
    )


def test_a_source_that_was_heard_and_is_heard_no_more_is_told_until_it_is_back(tmp_path: Path) -> None:
    clock = FixedClock(START_NS)
    with ExitStack() as stack:
        watch = watching(stack, tmp_path, "udpin:127.0.0.1:0", clock=clock)
        for step in range(20):
            clock.now_ns = START_NS + step * 4 * S
            watch.take("one", (report(step * 4.0, 0.0, 0.0),))
        clock.now_ns += 75 * S
        assert watch.silences() == []
        clock.now_ns += 10 * S
        (said,) = watch.silences()
        assert "one has heard nobody for 85 s" in said
        watch.take("one", (report(200.0, 0.0, 0.0),))
        assert watch.silences() == []
