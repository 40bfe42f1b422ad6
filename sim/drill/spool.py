"""How a second terminal speaks to a drill that runs: small files in a folder of the drill's own.

An order is written beside and renamed, so that nobody reads half of it; the answer appears under its name.
Whoever may write into the drill's folder may order; nobody else can.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sim.drill.orders import Order
from sim.drill.story import Injected
from skywarden.errors import FlightError, UsageError

_FOLDER = "orders"
_MAX_BYTES = 65_536
_ANSWER_S = 20.0


class Spool:
    """The orders that wait in a drill's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def open(self) -> None:
        """Make the folder; raises `FlightError`."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise FlightError(f"{self._folder}: cannot be made ({error.strerror})") from error

    def close(self) -> None:
        """The drill takes no more orders."""
        for path in self._folder.glob("*"):
            path.unlink(missing_ok=True)
        if self._folder.is_dir():
            self._folder.rmdir()

    def ask(self, order: Order, *, limit_s: float = _ANSWER_S) -> Injected:
        """Give an order to the drill that runs here, and wait for what became of it.

        Raises `UsageError` when no drill runs, it refuses or does not answer.
        """
        if not self._folder.is_dir():
            raise UsageError(
                f"no drill runs in {self._folder.parent}; start it, or name its folder with --dir"
            )
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        part, whole = self._folder / f".{name}.part", self._folder / f"{name}.json"
        try:
            part.write_bytes(msgspec.json.encode(order))
            part.replace(whole)
            return self._answer(self._folder / f"{name}.done", limit_s)
        except OSError as error:
            raise FlightError(f"{whole}: cannot be written ({error.strerror})") from error
        finally:
            whole.unlink(missing_ok=True)

    def take(self) -> Iterator[tuple[str, Order | str]]:
        """Orders that came, each once, as (name, order), or (name, what is wrong with it)."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                if path.is_symlink() or path.stat().st_size > _MAX_BYTES:
                    yield path.stem, f"an order has at most {_MAX_BYTES} bytes"
                else:
                    yield path.stem, msgspec.json.decode(path.read_bytes(), type=Order)
            except FileNotFoundError:
                continue  # taken back
            except OSError as error:
                yield path.stem, f"cannot be read ({error.strerror})"
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield path.stem, str(error)
            finally:
                path.unlink(missing_ok=True)

    def answer(self, name: str, done: Injected | str) -> None:
        """Say what became of an order."""
        text = msgspec.json.encode({"problem": done} if isinstance(done, str) else {"injected": done})
        part = self._folder / f".{name}.answer"
        part.write_bytes(text)
        part.replace(self._folder / f"{name}.done")

    def _answer(self, path: Path, limit_s: float) -> Injected:
        end_s = time.monotonic() + limit_s
        pause = threading.Event()
        while not path.exists():
            if time.monotonic() > end_s or not self._folder.is_dir():
                raise UsageError(f"the drill in {self._folder.parent} does not answer; does it still run?")
            pause.wait(0.05)
        found = msgspec.json.decode(path.read_bytes(), type=_Answer)
        path.unlink(missing_ok=True)
        if found.injected is None or found.injected.problem:
            raise UsageError(found.problem or (found.injected.problem if found.injected else "refused"))
        return found.injected


class _Answer(msgspec.Struct):
    injected: Injected | None = None
    problem: str = ""
