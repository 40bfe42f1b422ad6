"""How a platform reaches its ground station: the `link` section of the edge's file."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from skywarden import evidence
from skywarden.config import Config
from skywarden.errors import LinkError
from skywarden.link import keys


class LinkConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this platform reaches its ground station.

    Attributes:
        ground: address and port, such as 10.0.0.5:5690; empty sends nothing (records wait in the outbox).
        ground_public_key: the station's key, `swpub1:...`, as `skywarden ground status` shows it; or the path
            of a file that holds it.
        transport: "tcp"; "datagram" (UDP, same port: for radios that lose much); "auto" begins with TCP and
            changes over when that starves.
        key_file: this platform's key; empty for `keys/link.key` in the state folder, made on first use. The
            evidence key lies beside it (`link.evidence.key`).
        rate_cap_bytes_per_s: at most so many bytes a second on average; 0 for no cap.
        batch_bytes: a batch is closed at this size (a larger single record travels alone).
        window_bytes: at most so much is under way without a reply; the link measures how much is useful.
        gather_s: while a reply is out, what is no alert waits so long for more to travel with it under one
            signature (longer where answers take over 0.3 s, half a second at most); 0 sends all at once.
        heartbeat_s: something is sent at least so often.
        silence_s: the ground counts as out of reach when it has not answered for so long.
        retry_min_s: what was not acknowledged is sent again after so long at the earliest.
        retry_max_s: and at the latest.
        outbox_max_bytes: the outbox keeps at most so much; then the least valuable goes, and is reported.
    """

    ground: Annotated[str, Meta(max_length=255)] = ""
    ground_public_key: Annotated[str, Meta(max_length=4096)] = ""
    transport: Literal["auto", "tcp", "datagram"] = "auto"
    key_file: Annotated[str, Meta(max_length=4096)] = ""
    rate_cap_bytes_per_s: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    batch_bytes: Annotated[int, Meta(ge=512, le=65_536)] = 32_768
    window_bytes: Annotated[int, Meta(ge=4_096, le=16_777_216)] = 524_288
    gather_s: Annotated[float, Meta(ge=0.0, le=5.0)] = 0.1
    heartbeat_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 1.0
    silence_s: Annotated[float, Meta(ge=0.2, le=600.0)] = 10.0
    retry_min_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 2.0
    retry_max_s: Annotated[float, Meta(ge=0.05, le=600.0)] = 60.0
    outbox_max_bytes: Annotated[int, Meta(ge=1_000_000, le=10**13)] = 1_000_000_000

    def key_pair(self, state_dir: Path) -> keys.KeyPair:
        """This platform's key, made on first use; raises `LinkError` when its file is not private."""
        path = Path(self.key_file) if self.key_file else state_dir / "keys" / "link.key"
        return keys.load_or_create_key_file(path)

    def evidence_key(self, state_dir: Path) -> evidence.EvidenceKey:
        """This platform's evidence key, beside its link key, made on first use; raises as `key_pair`."""
        path = Path(self.key_file) if self.key_file else state_dir / "keys" / "link.key"
        return evidence.load_or_create_evidence_key(evidence.evidence_key_path(path))

    def ground_key(self) -> bytes:
        """The station's public key, 32 bytes; raises `LinkError` when it is missing or damaged."""
        if not self.ground_public_key:
            raise LinkError(
                "link.ground is set but link.ground_public_key is not; `skywarden ground status` on the "
                "station shows it"
            )
        return keys.read_public(self.ground_public_key)
