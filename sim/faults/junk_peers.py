"""Many strangers at once, as a process of its own: `python -m sim.faults.junk_peers HOST PORT COUNT SECONDS`.

A third sends random bytes, a third the first half of a greeting, a third says nothing; whoever is thrown out
comes back. Prints how many connections were made.
"""

import random
import selectors
import socket
import sys
import time

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE"
_RETRY_S = 0.5


def main(host: str, port: int, count: int, seconds: float) -> int:
    """Knock until the time is up; how many connections were begun."""
    rng, selector, made = random.Random(port), selectors.DefaultSelector(), 0
    end_s = time.monotonic() + seconds
    due: list[tuple[float, int]] = [(0.0, number) for number in range(count)]
    while (now_s := time.monotonic()) < end_s:
        while due and due[0][0] <= now_s:
            _, number = due.pop(0)
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex((host, port))
            selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, number)
            made += 1
        for key, events in selector.select(0.05):
            known = key.fileobj
            assert isinstance(known, socket.socket)
            number = key.data
            try:
                if events & selectors.EVENT_WRITE:
                    known.send((rng.randbytes(64), _GREETING, b"")[number % 3] or b"")
                    selector.modify(known, selectors.EVENT_READ, number)
                if events & selectors.EVENT_READ and not known.recv(4_096):
                    raise ConnectionError
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(known)
                known.close()
                due.append((now_s + _RETRY_S * rng.uniform(1.0, 2.0), number))
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    return made


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))}\n")
