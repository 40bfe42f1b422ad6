"""Sessions, codes and keys end when they must, whatever is done to the clock."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ground.accounts.book import Account
from ground.accounts.doorkeeper import Doorkeeper
from ground.accounts.roles import Permission, Role, Scope
from ground.accounts.sessions import MAX_SESSIONS, Identity, Stranger
from skywarden.errors import AccessError, InputError, UsageError
from tests.ground.accounts.conftest import TurnedClock, opened

HERE = "127.0.0.1"
GOOD = "harbour lantern 7 otters"


def _maria(keeper: Doorkeeper, role: Role = Role.OPERATOR) -> Account:
    keeper.book.add("maria", role)
    keeper.book.set_password("maria", GOOD)
    return keeper.book.get("maria")


def _why(keeper: Doorkeeper, token: str) -> str:
    found = keeper.sessions.identify(token)
    return found.why if isinstance(found, Stranger) else "in"


def test_a_right_password_opens_a_session_and_nothing_secret_is_in_the_file(
    keeper: Doorkeeper, tmp_path: Path
) -> None:
    _maria(keeper)
    token = keeper.sign_in("maria", GOOD, HERE)
    who = keeper.identify(cookie=token, bearer=None)
    assert isinstance(who, Identity)
    assert (who.account, who.role) == ("maria", Role.OPERATOR)
    key = keeper.keys.new(keeper.book.get("maria"), "t", frozenset({Scope.VIEW}), 60.0)
    code = keeper.book.new_code("maria", "session", 60.0)
    keeper.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("accounts.sqlite*"))
    for secret in (token, GOOD, key.split("_", 2)[2], code, code.replace("-", ""), who.token):
        assert secret.encode() not in kept
    assert b"$argon2id$" in kept
    assert (tmp_path / "accounts.sqlite").stat().st_mode & 0o077 == 0


def test_a_session_ends_when_nobody_does_anything_and_when_it_is_old(
    keeper: Doorkeeper, clock: TurnedClock
) -> None:
    maria = _maria(keeper)
    idle, busy = keeper.sessions.begin(maria, HERE), keeper.sessions.begin(maria, HERE)
    for _ in range(9):
        clock.wait(3_500.0)
        who = keeper.sessions.identify(busy)
        if isinstance(who, Identity):
            keeper.sessions.touch(who.session_id)
    assert _why(keeper, idle) == "expired"
    assert _why(keeper, busy) == "expired"
    fresh = keeper.sessions.begin(maria, HERE)
    clock.wait(3_599.0)
    assert _why(keeper, fresh) == "in"
    clock.wait(1.0)
    assert _why(keeper, fresh) == "expired"


@pytest.mark.parametrize("jump_s", [-3_600.0, -86_400.0 * 365, -1.7e9, 3_600.0, 86_400.0 * 365 * 20])
def test_no_jump_of_the_wall_clock_makes_anything_last_longer(
    keeper: Doorkeeper, clock: TurnedClock, jump_s: float
) -> None:
    maria = _maria(keeper)
    before = keeper.sessions.begin(maria, HERE)
    code = keeper.book.new_code("maria", "session", 600.0)
    key = keeper.keys.new(maria, "t", frozenset({Scope.VIEW}), 600.0)
    clock.utc_s += jump_s
    during = keeper.sessions.begin(maria, HERE)
    clock.wait(300.0)
    clock.utc_s -= jump_s
    clock.wait(299.0)
    if jump_s < 0:
        assert _why(keeper, before) == "in"
    clock.wait(1.0)
    assert keeper.book.find_code(code) is None
    assert isinstance(keeper.keys.identify(key), Stranger)
    clock.wait(28_800.0)
    assert "in" not in (_why(keeper, before), _why(keeper, during))


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.floats(-2e9, 7e8), st.floats(0.0, 9_000.0)).filter(lambda one: abs(one[0]) >= 60.0),
        min_size=4,
        max_size=12,
    )
)
def test_whatever_the_wall_clock_does_nothing_outlives_its_true_end(
    tmp_path_factory: pytest.TempPathFactory, jumps: list[tuple[float, float]]
) -> None:
    clock = TurnedClock()
    keeper = opened(tmp_path_factory.mktemp("jumps"), clock)
    maria = _maria(keeper)
    made: list[tuple[float, str, str]] = []
    for jump_s, wait_s in jumps:
        made.append(
            (
                clock.mono_s,
                keeper.sessions.begin(maria, HERE),
                keeper.book.new_code("maria", "session", 600.0),
            )
        )
        clock.utc_s = max(-1.7e9, clock.utc_s + jump_s)
        clock.wait(wait_s)
        for made_s, token, code in made:
            if clock.mono_s - made_s >= 3_600.0:
                assert _why(keeper, token) != "in"
            if clock.mono_s - made_s >= 600.0:
                assert keeper.book.find_code(code) is None
    keeper.close()


def test_a_clock_set_back_between_two_starts_revives_nothing(tmp_path: Path, clock: TurnedClock) -> None:
    first = opened(tmp_path, clock)
    maria = _maria(first)
    token = first.sessions.begin(maria, HERE)
    key = first.keys.new(maria, "t", frozenset({Scope.VIEW}), 7_200.0)
    clock.wait(7_300.0)
    first.moments.keep()
    first.close()
    clock.utc_s -= 7_000.0
    again = opened(tmp_path, clock)
    assert _why(again, token) == "expired"
    assert isinstance(again.keys.identify(key), Stranger)
    again.close()


def test_a_session_and_a_code_end_with_the_boot(tmp_path: Path, clock: TurnedClock) -> None:
    first = opened(tmp_path, clock)
    maria = _maria(first)
    token, code = first.sessions.begin(maria, HERE), first.book.new_code("maria", "session", 600.0)
    first.close()
    same = opened(tmp_path, clock)
    assert _why(same, token) == "in"
    same.close()
    clock.mono_s = 0.0
    other = opened(tmp_path, clock, boot="boot-2")
    assert _why(other, token) == "expired"
    assert other.book.find_code(code) is None
    other.close()


def test_roles_passwords_and_disabling_count_at_once(keeper: Doorkeeper) -> None:
    maria = _maria(keeper)
    token, other = keeper.sessions.begin(maria, HERE), keeper.sessions.begin(maria, HERE)
    may_export = keeper.watch(cookie=token, bearer=None, needs=Permission.EXPORT)
    assert may_export()
    keeper.book.set_role("maria", Role.VIEWER)
    assert not may_export()
    who = keeper.sessions.identify(token)
    assert isinstance(who, Identity)
    keeper.change_password(who, GOOD, "another long phrase 22", HERE)
    assert (_why(keeper, token), _why(keeper, other)) == ("in", "ended")
    with pytest.raises(AccessError):
        keeper.sign_in("maria", GOOD, HERE)
    keeper.book.set_disabled("maria", is_disabled=True)
    assert _why(keeper, token) == "ended"
    keeper.book.set_disabled("maria", is_disabled=False)
    assert _why(keeper, token) == "ended"


def test_one_account_has_so_many_sessions_and_the_oldest_ends(keeper: Doorkeeper, clock: TurnedClock) -> None:
    maria = _maria(keeper)
    tokens = []
    for _ in range(MAX_SESSIONS + 1):
        clock.wait(1.0)
        tokens.append(keeper.sessions.begin(maria, HERE))
    assert [_why(keeper, token) for token in tokens] == ["ended"] + ["in"] * MAX_SESSIONS
    assert len(keeper.sessions.list("maria")) == MAX_SESSIONS


def test_a_code_works_once_in_any_spelling_and_a_bad_password_does_not_use_it_up(keeper: Doorkeeper) -> None:
    name, code = keeper.first_code() or ("", "")
    with pytest.raises(InputError, match="12"):
        keeper.use_code(code, "short", HERE)
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    token = keeper.use_code(typed, GOOD, HERE)
    who = keeper.sessions.identify(token)
    assert isinstance(who, Identity)
    assert (who.account, who.role) == (name, Role.ADMINISTRATOR)
    with pytest.raises(AccessError):
        keeper.use_code(code, GOOD, HERE)
    assert keeper.first_code() is None


def test_a_new_first_code_ends_the_one_before(keeper: Doorkeeper, clock: TurnedClock) -> None:
    _, lost = keeper.first_code() or ("", "")
    _, code = keeper.first_code() or ("", "")
    assert keeper.book.find_code(lost) is None
    assert keeper.book.find_code(code) is not None
    clock.wait(600.0)
    assert keeper.book.find_code(code) is None


def test_the_last_administrator_stays_one(keeper: Doorkeeper) -> None:
    keeper.book.add("root", Role.ADMINISTRATOR)
    with pytest.raises(UsageError, match="only administrator"):
        keeper.book.set_role("root", Role.VIEWER)
    with pytest.raises(UsageError, match="only administrator"):
        keeper.book.set_disabled("root", is_disabled=True)
    keeper.book.add("second", Role.ADMINISTRATOR)
    keeper.book.set_disabled("root", is_disabled=True)


@pytest.mark.parametrize("name", ["", "Maria", "a b", "../x", "a" * 41, "x\n", "-a", "é"])
def test_a_name_that_could_be_mistaken_is_refused(keeper: Doorkeeper, name: str) -> None:
    with pytest.raises(UsageError):
        keeper.book.add(name, Role.VIEWER)


@pytest.mark.parametrize(
    "password",
    ["short", "aaaaaaaaaaaaaaaa", "administrator123", "password1234567", "x" * 300, "maria maria maria"],
)
def test_a_password_that_is_guessed_at_once_is_refused(keeper: Doorkeeper, password: str) -> None:
    keeper.book.add("maria", Role.VIEWER)
    with pytest.raises(InputError):
        keeper.book.set_password("maria", password)


def test_keys_open_no_more_than_their_scope_and_their_account(keeper: Doorkeeper) -> None:
    maria = _maria(keeper, Role.VIEWER)
    key = keeper.keys.new(maria, "t", frozenset({Scope.VIEW, Scope.EXPORT}), 600.0)
    who = keeper.keys.identify(key)
    assert isinstance(who, Identity)
    assert who.may(Permission.SEE_PICTURE)
    assert not who.may(Permission.EXPORT)
    assert not who.may(Permission.OWN_SESSION)
    keeper.keys.revoke(key.split("_")[1])
    assert isinstance(keeper.keys.identify(key), Stranger)
    with pytest.raises(UsageError, match="366"):
        keeper.keys.new(maria, "t", frozenset({Scope.VIEW}), 400 * 86_400.0)


def test_the_file_of_another_program_or_a_newer_version_is_refused(
    tmp_path: Path, clock: TurnedClock
) -> None:
    from skywarden.errors import StoreError

    path = tmp_path / "accounts.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE x(y)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        opened(tmp_path, clock)
    path.unlink()
    opened(tmp_path, clock).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="newer"):
        opened(tmp_path, clock)
