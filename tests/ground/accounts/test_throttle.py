"""Guessing is slowed down; nobody is locked out for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.accounts.access_log import read_events
from ground.accounts.doorkeeper import Doorkeeper
from ground.accounts.roles import Role
from ground.accounts.throttle import FREE_FAILURES, MOST_WAIT_S, RequestRate, SignInThrottle, network_of
from skywarden.errors import AccessError
from tests.ground.accounts.conftest import TurnedClock


def test_an_address_that_guesses_waits_longer_and_longer_but_never_for_ever() -> None:
    throttle = SignInThrottle()
    now_s, waits = 0.0, []
    for _ in range(40):
        wait_s = throttle.begin("maria", "10.0.0.9", now_s)
        if wait_s > 0.0:
            waits.append(wait_s)
            now_s += wait_s
            assert throttle.begin("maria", "10.0.0.9", now_s) == 0.0
    assert waits[:4] == [2.0, 4.0, 8.0, 16.0]
    assert max(waits) == MOST_WAIT_S
    guesses_a_day = 86_400 / MOST_WAIT_S
    assert guesses_a_day < 100


def test_a_guesser_elsewhere_does_not_keep_the_person_out() -> None:
    throttle = SignInThrottle()
    assert throttle.begin("maria", "10.0.0.2", 0.0) == 0.0
    throttle.succeeded("maria", "10.0.0.2")
    for number in range(2_000):
        throttle.begin("maria", f"10.9.{number // 250}.{number % 250}", float(number) / 100)
    assert throttle.begin("maria", "10.9.200.1", 20.0) > 0.0  # strangers wait
    assert throttle.begin("maria", "10.0.0.2", 20.0) == 0.0  # where she was before, she gets in
    assert throttle.begin("maria", "127.0.0.1", 20.0) == 0.0  # at the station itself too
    assert throttle.begin("maria", "10.9.200.1", 20.0) <= 60.0


def test_a_thousand_tries_at_once_are_no_way_around() -> None:
    throttle = SignInThrottle()
    taken = sum(throttle.begin("maria", "10.0.0.9", 0.0) == 0.0 for _ in range(1_000))
    assert taken == FREE_FAILURES


def test_one_address_that_tries_many_names_is_slowed_too() -> None:
    throttle = SignInThrottle()
    taken = sum(throttle.begin(f"name{number}", "10.0.0.9", 0.0) == 0.0 for number in range(1_000))
    assert taken == 40


def test_an_ipv6_neighbourhood_counts_as_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::1") == network_of("127.0.0.1") == network_of("::ffff:127.0.0.1") == "loopback"
    assert network_of("10.0.0.1") != network_of("10.0.0.2")


@pytest.mark.slow
@given(st.text())
def test_any_text_is_an_address(text: str) -> None:
    assert isinstance(network_of(text), str)


def test_requests_beyond_the_rate_wait() -> None:
    rate = RequestRate(per_s=10.0, burst=5)
    assert [rate.wait_s("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert rate.wait_s("a", 0.0) == pytest.approx(0.1)
    assert rate.wait_s("b", 0.0) == 0.0
    assert rate.wait_s("a", 0.11) == 0.0


def test_wrong_name_and_wrong_password_are_answered_alike(keeper: Doorkeeper, clock: TurnedClock) -> None:
    keeper.book.add("maria", Role.VIEWER)
    keeper.book.set_password("maria", "harbour lantern 7 otters")
    said = set()
    for name in ("maria", "nobody", "'; --", "maria\n"):
        with pytest.raises(AccessError) as refused:
            keeper.sign_in(name, "a wrong password here", "10.0.0.9")
        said.add(str(refused.value))
    assert len(said) == 1
    keeper.note_local("account", "everything before is written")
    logged = [one.event.account for one in read_events(keeper.database) if one.event.action == "denied"]
    assert logged == ["maria", None, None, None]  # what is no account may be a password in the wrong field
    for _ in range(FREE_FAILURES - 1):
        with pytest.raises(AccessError):
            keeper.sign_in("maria", "a wrong password here", "10.0.0.9")
    with pytest.raises(AccessError) as waiting:
        keeper.sign_in("maria", "harbour lantern 7 otters", "10.0.0.9")
    assert waiting.value.wait_s > 0.0
    clock.wait(waiting.value.wait_s + 0.1)
    keeper.sign_in("maria", "harbour lantern 7 otters", "10.0.0.9")
