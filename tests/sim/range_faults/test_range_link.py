"""The real outbox and the real protocol over a radio in virtual time."""

from dataclasses import replace

import pytest

from sim.faults.gnss import Span
from sim.range.faults.spell import Spell
from sim.range.link import Delivered, delivered
from sim.range.radio import Radio
from sim.range.station_words import station_notices
from skywarden.clock import NS_PER_S
from skywarden.messages import Message
from tests.ground.scenes import START_NS, position, sighting

SECONDS = 60


def _spell(kind: str, number: int = 0, **numbers: float) -> Spell:
    span = Span(start_ns=START_NS + 10 * NS_PER_S, end_ns=START_NS + 40 * NS_PER_S)
    return Spell(kind=kind, number=number, seed=1, platform="uav07", span=span, numbers=numbers)


def _flown(*spells: Spell) -> Delivered:
    """A minute with a look each second."""
    made: list[tuple[int, list[Message]]] = []
    for number in range(SECONDS):
        one = sighting(number=number, at_s=number, place=position())
        made.append((one.time_ns, [one]))
    return delivered(
        "uav07",
        made,
        spells,
        begin_ns=START_NS,
        until_ns=START_NS + SECONDS * NS_PER_S,
        delay_s=0.5,
        seed=3,
    )


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [_spell("link_loss", share=1.0)],
        [_spell("link_loss", share=0.4), _spell("link_duplication", 1, share=0.7)],
        [_spell("link_reordering", spread_s=3.0), _spell("link_delay", 1, delay_s=2.0)],
        [_spell("link_rate", bytes_per_s=600.0)],
    ],
)
def test_whatever_a_link_does_everything_is_stored_once_and_never_before_it_was_made(
    faults: list[Spell],
) -> None:
    found = _flown(*faults)
    ids = [one.sighting_id for _, one in found.messages if hasattr(one, "sighting_id")]
    assert len(ids) == len(set(ids)) == found.told.sent == found.told.arrived == SECONDS
    assert all(
        now_ns - one.time_ns >= NS_PER_S // 2 for now_ns, one in found.messages if hasattr(one, "time_ns")
    )


def test_a_flight_over_the_link_gives_the_same_to_the_last_bit_each_time() -> None:
    faults = [_spell("link_loss", share=0.4), _spell("link_reordering", 1, spread_s=2.0)]
    first, second = (_flown(*faults) for _ in range(2))
    assert first == second
    assert first.told.sent_again > 0
    other = _flown(*(replace(one, seed=2) for one in faults))
    assert other.heard_ns != first.heard_ns


def test_a_narrow_link_takes_one_packet_after_the_other() -> None:
    radio = Radio([_spell("link_rate", bytes_per_s=1_000.0)], 0.1)
    at_ns = START_NS + 20 * NS_PER_S
    times = [radio.crossings(at_ns, 500)[0] for _ in range(3)]
    assert [round((one - at_ns) / NS_PER_S, 6) for one in times] == [0.6, 1.1, 1.6]
    assert radio.crossings(START_NS, 500) == [START_NS + NS_PER_S // 10]


def test_the_station_says_since_when_a_platform_is_silent_and_when_it_is_back() -> None:
    lost = _flown(_spell("link_loss", share=1.0))
    (said,) = station_notices({"uav07": lost}, (), START_NS, START_NS + SECONDS * NS_PER_S)
    assert (said.platform_id, said.word) == ("uav07", "platform_silent")
    assert "uav07 has been silent since" in said.text
    assert 14.0 < (said.begin_ns - START_NS) / NS_PER_S - 10.0 < 18.0
    assert said.end_ns is not None
    assert (said.end_ns - START_NS) / NS_PER_S - 40.0 < 5.0
    assert not station_notices({"uav07": _flown()}, (), START_NS, START_NS + SECONDS * NS_PER_S)


def test_the_station_says_that_its_receiver_of_ais_has_fallen_silent() -> None:
    lines = [(START_NS + at * 3 * NS_PER_S, b"!AIVDM") for at in (*range(100), *range(160, 200))]
    (said,) = station_notices({}, lines, START_NS, START_NS + 600 * NS_PER_S)
    assert (said.platform_id, said.word) == ("", "ais_silent")
    assert (said.begin_ns - START_NS) / NS_PER_S == pytest.approx(99 * 3 + 61, abs=1)
    assert said.end_ns == START_NS + 480 * NS_PER_S
