"""One platform in a long silence, as a process of its own, for scenario S4.

Usage: python -m sim.faults.outage_edge FOLDER PLATFORM GROUND GROUND_KEY RECORDS STILLS
It records until so many are held (going on where a killed one ended), says `queued COUNT BYTES`, waits for a
line on its input and for the link, records one alert, says `alert SECONDS BEFORE_IT` when the ground has it
(so many of the backlog were there first), and at the end `drained SECONDS COUNT PEAK_RSS_KIB BYTES_BEFORE
BYTES_AFTER PROCESSOR_SECONDS`. `durable BOOT SEQ HASH` is what it was promised.
"""

import random
import sys
import time
from pathlib import Path

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from skywarden import evidence
from skywarden.evidence import body_hash
from skywarden.link import keys
from skywarden.logs import configure_logs
from skywarden.messages import Bearing, Chip, Sighting
from skywarden.topics import topic_of
from skywarden.wire import encode

_CHUNK = 200


def main(folder: Path, platform_id: str, ground: str, ground_key: str, records: int, stills: int) -> None:
    """Queue, wait, deliver."""
    configure_logs("json", verbosity=-1)
    pair = keys.load_or_create_key_file(folder / "link.key")
    signer = evidence.load_or_create_evidence_key(folder / "link.evidence.key")
    outbox = Outbox(folder / "outbox.sqlite", platform_id)
    rng = random.SystemRandom()
    still_every = max(1, records // max(1, stills))
    config = LinkConfig(ground=ground, ground_public_key=ground_key, heartbeat_s=0.25, silence_s=2.0)
    downlink = Downlink(config, outbox, pair, evidence_key=signer)
    downlink.start()
    while (held := outbox.state().held) < records:
        numbers = range(held, min(held + _CHUNK, records))
        _record(outbox, [_message(platform_id, number, rng, still_every) for number in numbers])
    size_before = _size(folder)
    say("queued", outbox.state().held, size_before)
    sys.stdin.readline()
    while not downlink.state().is_up:
        time.sleep(0.005)
    began_s, processor_s = time.monotonic(), time.process_time()
    (seq,) = _record(outbox, [_sighting(platform_id, "alert", rng)])
    while outbox.holds(outbox.boot_id, seq):
        time.sleep(0.005)
    say("alert", time.monotonic() - began_s, downlink.state().records_acknowledged)
    while outbox.state().held:
        time.sleep(0.01)
    drained_s, processor_s = time.monotonic() - began_s, time.process_time() - processor_s
    outbox.tidy()
    say("drained", drained_s, records + 1, _peak_rss_kib(), size_before, _size(folder), processor_s)
    downlink.stop()
    outbox.close()


def say(*words: object) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _record(outbox: Outbox, messages: list[Sighting | Chip]) -> list[int]:
    entries = [(topic_of(one).name, time.time_ns(), encode(one)) for one in messages]
    seqs = outbox.append_many(entries)
    sys.stdout.write(
        "".join(
            f"durable {outbox.boot_id} {seq} {body_hash(body).hex()}\n"
            for seq, (_, _, body) in zip(seqs, entries, strict=True)
        )
    )
    sys.stdout.flush()
    return seqs


def _message(platform_id: str, number: int, rng: random.Random, still_every: int) -> Sighting | Chip:
    if number % still_every == still_every - 1:
        nonce = f"{rng.getrandbits(64):016x}"
        return Chip(
            chip_id=f"{platform_id}.c{nonce}",
            sighting_id=f"{platform_id}.{nonce}",
            platform_id=platform_id,
            time_ns=time.time_ns(),
            media_type="image/jpeg",
            width_px=64,
            height_px=64,
            box_in_chip_px=(8.0, 8.0, 56.0, 56.0),
            data=random.randbytes(20_000),
        )
    return _sighting(platform_id, str(number), rng)


def _sighting(platform_id: str, name: str, rng: random.Random) -> Sighting:
    return Sighting(
        sighting_id=f"{platform_id}.{name}.{rng.getrandbits(64):016x}",
        track_id=f"{platform_id}.t1",
        platform_id=platform_id,
        sortie_id="s1",
        sensor_id="eo",
        frame_number=1,
        time_ns=time.time_ns(),
        label="vessel",
        score=0.5,
        model_id="m",
        box_px=(1.0, 2.0, 3.0, 4.0),
        position=None,
        bearing=Bearing(azimuth_deg=90.0, elevation_deg=-1.0, sigma_deg=2.0),
        no_position_reason="telemetry_stale",
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("outbox.sqlite*"))


def _peak_rss_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
