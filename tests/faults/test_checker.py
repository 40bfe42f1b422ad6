"""The judge of faults notes what was acknowledged, however often it is told and in whatever order."""

from sim.faults.checker import Checker

BOOT = "ab" * 16


def _recorded(checker: Checker, number: int, seq: int) -> bytes:
    key = checker.attempt("uav01", b"body %d" % number)
    checker.promise(key, BOOT, seq)
    return key


def _acknowledged(checker: Checker, keys: list[bytes]) -> list[bool]:
    return [checker.written[key].is_acknowledged for key in keys]


def test_what_is_told_again_and_again_and_what_comes_late_is_noted() -> None:
    checker = Checker()
    keys = [_recorded(checker, number, number) for number in (1, 2, 3)]
    checker.acknowledge(BOOT, 1, 2)
    assert _acknowledged(checker, keys) == [True, True, False]
    checker.acknowledge(BOOT, 1, 5)  # 4 and 5 are named only now
    keys += [_recorded(checker, number, number) for number in (4, 5, 6)]
    assert _acknowledged(checker, keys) == [True, True, True, False, False, False]
    checker.acknowledge(BOOT, 1, 5)
    checker.acknowledge("cd" * 16, 1, 6)
    assert _acknowledged(checker, keys) == [True, True, True, True, True, False]


def test_what_lies_beyond_a_gap_is_noted_and_the_gap_when_it_closes() -> None:
    checker = Checker()
    keys = [_recorded(checker, number, number) for number in range(1, 7)]
    checker.acknowledge(BOOT, 1, 1)
    checker.acknowledge(BOOT, 4, 5)
    assert _acknowledged(checker, keys) == [True, False, False, True, True, False]
    checker.acknowledge(BOOT, 1, 6)
    assert all(_acknowledged(checker, keys))


def test_a_number_that_an_old_image_gives_out_again_is_not_acknowledged_yet() -> None:
    checker = Checker()
    keys = [_recorded(checker, number, number) for number in (1, 2, 3)]
    checker.acknowledge(BOOT, 1, 3)
    for key in keys[1:]:
        checker.excuse(key)
    again = [_recorded(checker, 10 + seq, seq) for seq in (2, 3)]
    assert _acknowledged(checker, again) == [False, False]
    checker.acknowledge(BOOT, 1, 2)
    assert _acknowledged(checker, again) == [True, False]
