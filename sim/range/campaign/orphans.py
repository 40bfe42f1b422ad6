"""Workers end with the process that asked for them, also when that is killed and can tell nobody.

A pool of processes waits for its next job for good once nobody is left to hand one out.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from types import FrameType

GRACE_S = 5.0
"""So long a worker has to clear away what it was at."""


def end_with_parent() -> None:
    """Called once in a worker, by its main thread; also makes an interrupt from the keyboard a quiet end."""
    signal.signal(signal.SIGINT, _leave)
    threading.Thread(target=_watch, name="parent-watch", daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)  # the job's own folder is removed on the way out
    time.sleep(GRACE_S)
    os._exit(1)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(1)
