"""A port that cuts off what is too large and does nothing else, as its own process: what S14 compares with.

While the hostile platform sends here, the machine does the same work, and the station has no part in it.
Usage: python -m sim.faults.big_sink; says `ADDRESS KEY` and waits until its input ends.
"""

import sys

import zmq

from skywarden.link import keys
from skywarden.link.protocol import MAX_BATCH_BYTES


def main() -> None:
    """Listen until the input ends."""
    pair = keys.new_key_pair()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.linger, socket.maxmsgsize = 0, MAX_BATCH_BYTES
    socket.curve_server = True
    socket.curve_secretkey = pair.secret_z85
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    sys.stdout.write(f"127.0.0.1:{port} {pair.public_text}\n")
    sys.stdout.flush()
    sys.stdin.read()
    context.destroy(linger=0)


if __name__ == "__main__":
    main()
