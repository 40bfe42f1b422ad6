"""Times as text and back, in UTC, whatever the zone of the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden.errors import InputError
from skywarden.times import basic_utc, parse_rfc3339, rfc3339

TIME_NS = 1_533_430_844_800_123_000


def test_a_time_has_its_two_forms() -> None:
    assert rfc3339(TIME_NS) == "2018-08-05T01:00:44.800123Z"
    assert basic_utc(TIME_NS) == "20180805T010044Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"


@given(st.integers(0, 4_102_444_800_000_000))
def test_microseconds_survive_the_way_there_and_back(time_us: int) -> None:
    assert parse_rfc3339(rfc3339(time_us * 1000)) == time_us * 1000


@pytest.mark.parametrize(
    "text",
    ["2018-08-05T03:00:44.800123+02:00", "2018-08-05 01:00:44.800123Z", "20180805T010044.800123Z"],
)
def test_other_zones_and_spellings_are_the_same_instant(text: str) -> None:
    assert parse_rfc3339(text) == TIME_NS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2018-08-05T01:00:44", "names no zone"),
        ("2018-08-05", "names no zone"),
        ("yesterday", "is not a time"),
        ("", "is not a time"),
        ("2018-13-05T01:00:44Z", "is not a time"),
        ("x" * 100_000, "is not a time"),
    ],
)
def test_what_is_no_time_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        parse_rfc3339(text)
    assert len(str(caught.value)) < 200


def test_text_sorts_as_time_does() -> None:
    times = [0, 999, 1_000, 999_999_000, TIME_NS, TIME_NS + 1_000]
    assert sorted(map(rfc3339, times)) == list(map(rfc3339, times))
