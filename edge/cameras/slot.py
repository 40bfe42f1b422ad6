"""The one place between the thread that reads a camera and whoever takes frames: newest only, or all."""

import threading
import time

from edge.cameras.frame import CameraFrame


class FrameSlot:
    """Room for one frame. Newest: a new frame replaces one that nobody took. `keep_all`: `put` waits."""

    def __init__(self, *, keep_all: bool) -> None:
        self._keep_all = keep_all
        self._condition = threading.Condition()
        self._frame: CameraFrame | None = None
        self._is_closed = False
        self._dropped = 0

    @property
    def dropped_count(self) -> int:
        """Frames that were replaced before anyone took them."""
        return self._dropped

    @property
    def is_full(self) -> bool:
        """Whether a frame waits to be taken."""
        return self._frame is not None

    def put(self, frame: CameraFrame) -> bool:
        """Hand over; false when the slot was closed meanwhile."""
        with self._condition:
            if self._keep_all:
                while self._frame is not None and not self._is_closed:
                    self._condition.wait(1.0)
            if self._is_closed:
                return False
            self._dropped += self._frame is not None
            self._frame = frame
            self._condition.notify_all()
            return True

    def take(self, timeout_s: float) -> CameraFrame | None:
        """The waiting frame, or the next to come within `timeout_s`, or `None`."""
        until_s = time.monotonic() + timeout_s
        with self._condition:
            while self._frame is None and not self._is_closed:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return None
                self._condition.wait(left_s)
            frame, self._frame = self._frame, None
            self._condition.notify_all()
            return frame

    def close(self) -> None:
        """Wake everyone; a frame that waits can still be taken."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
