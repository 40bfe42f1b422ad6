"""An enrolled platform gone wrong, as a process of its own: messages of 64 MiB, one after the other.

Usage: python -m sim.faults.big_sender LINK STATION_KEY KEY_FILE COUNT
"""

import os
import sys
import time
from pathlib import Path

import zmq

from skywarden.link import keys
from skywarden.link.protocol import KIND_BATCH


def main(link: str, station_key: str, key_file: Path, count: int) -> None:
    """Connect and send; the station ends the connection each time."""
    os.nice(19)  # it stands for another machine and must not take this one's processors
    pair = keys.load_key_file(key_file)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for _ in range(count):
        client = context.socket(zmq.DEALER)
        client.linger, client.sndtimeo, client.reconnect_ivl = 0, 2_000, -1
        client.curve_serverkey = keys.curve_option(keys.parse_public(station_key))
        client.curve_publickey, client.curve_secretkey = pair.public_z85, pair.secret_z85
        monitor = client.get_monitor_socket(int(zmq.Event.DISCONNECTED))
        client.connect(f"tcp://{link}")
        client.send_multipart([KIND_BATCH, bytes(64 << 20)])
        began_s = time.monotonic()
        is_cut = bool(monitor.poll(5_000))
        sys.stdout.write(f"{'cut' if is_cut else 'kept'} {time.monotonic() - began_s:.3f}\n")
        client.disable_monitor()
        monitor.close(linger=0)
        client.close(linger=0)
    context.destroy(linger=0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
