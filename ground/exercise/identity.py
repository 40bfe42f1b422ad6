"""Whether a state folder is an exercise's: fixed when it is made, told by two witnesses, never changed.

The store tells it by the number in the head of its file (`ground.store.schema`), so that a skywarden of
before exercises refuses it as another program's; and a text file beside it tells it to people.
"""

from pathlib import Path

from ground.exercise.mark import NOTICE, Mark, mark_of_station
from ground.station.places import store_path
from ground.store.schema import kind_of_store
from skywarden.errors import ConfigError, StoreError

WITNESS = "EXERCISE.txt"
_WORDS = f"{NOTICE}. This folder belongs to an exercise; no real station may use it.\n"
_OF_A_STATION = ("contacts.sqlite", "review.sqlite", "ais.sqlite", "taskings.sqlite")
"""Files that a station makes when it runs; with them and without a store nobody knows what they were."""


def mark_of_folder(state_dir: Path) -> Mark:
    """The mark of what lies in a state folder, for commands beside a station.

    A store without the text file (a backup that was put back) is believed. Raises `StoreError` for the store
    of a real station beside the text file.
    """
    has_witness = (state_dir / WITNESS).exists()
    kind = kind_of_store(store_path(state_dir))
    if kind is False and has_witness:
        raise StoreError(
            f"{state_dir}: the store is that of a real station, and {WITNESS} lies beside it; somebody moved "
            "files between stations. Put each where it belongs"
        )
    return mark_of_station(is_exercise=bool(kind) or has_witness)


def claim_folder(state_dir: Path, *, is_exercise: bool) -> Mark:
    """Let a station that starts have its folder, and say what it is from the first byte on.

    Raises `ConfigError` when the folder is of the other kind, `StoreError` when it contradicts itself.
    """
    found = mark_of_folder(state_dir)
    if found.is_exercise and not is_exercise:
        raise ConfigError(
            f"{state_dir} is that of an EXERCISE, which never becomes a real station; say --exercise "
            "(exercise = true), or choose another state folder"
        )
    if not is_exercise:
        return found
    real = [name for name in (store_path(state_dir).name, *_OF_A_STATION) if (state_dir / name).exists()]
    if real and not found.is_exercise:
        raise ConfigError(
            f"{state_dir} is that of a real station ({real[0]} lies in it), which never becomes an exercise; "
            "choose another state folder for the exercise"
        )
    if not (state_dir / WITNESS).exists():
        _write_witness(state_dir)
    return mark_of_station(is_exercise=True)


def _write_witness(state_dir: Path) -> None:
    try:
        (state_dir / WITNESS).write_text(_WORDS, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{state_dir / WITNESS}: cannot be written ({error.strerror})") from error
