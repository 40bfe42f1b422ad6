"""The worker's local socket in its state folder: one line of JSON in, one line out; only its owner may.

The folder and the socket belong to the worker's account alone (0700, 0600); nothing leaves the machine.
"""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta

from edge.models_aboard.core import ModelsCore
from edge.models_aboard.orders import MAX_PLACE_CHARS
from skywarden.errors import ConfigError, InputError, LinkError, PeerUnavailableError

log = structlog.get_logger("edge.models_aboard")

NAME = "control.sock"
MAX_QUESTION_BYTES = 16_384
MAX_ANSWER_BYTES = 1_000_000
ANSWER_S = 125.0
_READ_S = 5.0
_MAX_PATH_BYTES = 100
_THREADS = 4


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked: how the models are, or an order."""

    ask: Literal["status", "stage", "promote", "rollback"]
    sensor: Annotated[str, Meta(max_length=32)] = ""
    detector: Annotated[str, Meta(max_length=32)] = ""
    model: Annotated[str, Meta(max_length=MAX_PLACE_CHARS)] = ""
    force: bool = False


class SlotAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One detector; as `SlotReport`, in names for people and scripts. `None` where there is nothing."""

    sensor: str
    detector: str
    state: str
    model_id: str | None
    since_ns: int
    reason: str
    before_id: str | None
    candidate_id: str | None
    comparison: str
    refusal: str
    fault: str
    look_count: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`is_done` is false when the order was not carried out; `text` says why, and what to do."""

    is_done: bool
    text: str = ""
    detectors: tuple[SlotAnswer, ...] = ()


class ControlSocket:
    """Serves in named threads from `start` to `stop`."""

    def __init__(self, state: Path, core: ModelsCore) -> None:
        self._state = state
        self._core = core
        self._stop = threading.Event()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="control")

    def start(self) -> None:
        """Begin to listen; what a worker before has left behind is replaced. Where that cannot be the worker
        flies without (logged)."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short(self._state) as folder:
                path = Path(folder) / NAME
                if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
                    path.unlink()
                before = os.umask(0o177)
                try:
                    listener.bind(str(path))
                finally:
                    os.umask(before)
            listener.listen(8)
            listener.settimeout(0.5)
        except OSError as error:
            listener.close()
            log.error("no local control", path=str(self._state / NAME), reason=str(error))
            return
        self._listener = listener
        self._thread.start()

    def stop(self) -> None:
        """End, and take the socket away."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._listener is None:
            return
        self._thread.join(2.0)
        self._listener.close()
        (self._state / NAME).unlink(missing_ok=True)

    def _serve(self) -> None:
        assert self._listener is not None, "only started with one"
        while not self._stop.is_set():
            try:
                caller, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                self._pool.submit(self._attend, caller)
            except RuntimeError:  # it stops
                caller.close()

    def _attend(self, caller: socket.socket) -> None:
        with caller:
            try:
                caller.settimeout(_READ_S)
                answer = self._answer(read_line(caller, MAX_QUESTION_BYTES))
                caller.sendall(msgspec.json.encode(answer) + b"\n")
            except (OSError, LinkError) as error:
                log.warning("a local question was not answered", reason=str(error))

    def _answer(self, line: bytes) -> Answer:
        try:
            asked = msgspec.json.decode(line, type=Question)
            if asked.ask == "status":
                return Answer(is_done=True, detectors=detectors_of(self._core))
            given = self._core.submit(
                asked.ask,
                sensor_id=asked.sensor,
                slot=asked.detector,
                model=asked.model,
                is_forced=asked.force,
            )
            done = given.result(ANSWER_S)
            return Answer(is_done=done.is_done, text=done.text, detectors=detectors_of(self._core))
        except msgspec.DecodeError as error:
            return Answer(is_done=False, text=f"the question does not validate: {error}")
        except InputError as error:
            return Answer(is_done=False, text=str(error))
        except FutureTimeoutError:
            return Answer(is_done=False, text="the worker's core does not answer; see its log")


def detectors_of(core: ModelsCore) -> tuple[SlotAnswer, ...]:
    """Every detector of every sensor, as last told."""
    return tuple(
        SlotAnswer(
            sensor=sensor_id,
            detector=slot.slot,
            state=slot.state,
            model_id=slot.model_id,
            since_ns=slot.since_ns,
            reason=slot.reason,
            before_id=slot.before_id,
            candidate_id=slot.candidate_id,
            comparison=slot.comparison,
            refusal=slot.refusal,
            fault=slot.fault,
            look_count=slot.look_count,
        )
        for sensor_id, report in sorted(core.reports().items())
        for slot in report.slots
    )


def ask_worker(state: Path, question: Question, *, timeout_s: float = ANSWER_S + 5.0) -> Answer:
    """Ask the worker that has this state folder. Raises `PeerUnavailableError` when none
    runs or it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(timeout_s)
        try:
            with _short(state) as folder:
                caller.connect(str(Path(folder) / NAME))
            caller.sendall(msgspec.json.encode(question) + b"\n")
            return msgspec.json.decode(read_line(caller, MAX_ANSWER_BYTES), type=Answer)
        except PermissionError as error:
            raise PeerUnavailableError(
                f"{state / NAME}: not for this account; ask as the one that the worker runs under"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise PeerUnavailableError(
                f"no worker runs with the state folder {state}; `skywarden edge run` does"
            ) from error
        except (OSError, LinkError, msgspec.DecodeError) as error:
            raise PeerUnavailableError(f"{state / NAME}: the worker does not answer ({error})") from error


def read_line(stream: socket.socket, limit_bytes: int) -> bytes:
    """Up to a line feed. Raises `LinkError` when it is longer, or ends before."""
    data = bytearray()
    while b"\n" not in data:
        part = stream.recv(4096)
        if not part:
            raise LinkError(f"the other end closed after {len(data)} bytes")
        data += part
        if len(data) > limit_bytes:
            raise LinkError(f"a line of over {limit_bytes} bytes")
    return bytes(data[: data.index(b"\n")])


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A name of the folder that a socket's path has room for (it holds 107 bytes)."""
    if len(os.fsencode(folder)) + len(NAME) < _MAX_PATH_BYTES:
        yield str(folder)
        return
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def state_of(state: str, default: Path) -> Path:
    """The state folder of a configuration; raises `ConfigError` when it is none."""
    found = Path(state) if state else default
    if not found.is_dir():
        raise ConfigError(f"{found}: there is no such state folder; has the worker ever run?")
    return found
