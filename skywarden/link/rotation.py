"""New keys for a platform without a moment when neither is good: prepare, enrol both, then finish."""

import base64
import binascii
from pathlib import Path

from skywarden import evidence
from skywarden.durable import sync
from skywarden.errors import LinkError
from skywarden.link import keys
from skywarden.link.enrolment import endorsement

ENDORSED_PREFIX = "swend1:"


def next_key_path(path: Path) -> Path:
    """Where the next key lies: `edge.key` has `edge.next.key` beside it."""
    return path.parent / f"{path.stem}.next{path.suffix}"


def prepare(path: Path) -> tuple[keys.KeyPair, str]:
    """Make the next keys, or take those that were made before; the line for the station.

    The line holds both public keys and the signature of today's evidence key under them. Raises `LinkError`.
    """
    keys.load_key_file(path)
    old = evidence.load_evidence_key(evidence.evidence_key_path(path))
    pair = keys.load_or_create_key_file(next_key_path(path))
    signer = evidence.load_or_create_evidence_key(evidence.evidence_key_path(next_key_path(path)))
    signature = endorsement(old, pair.public, signer.public)
    vouched = base64.urlsafe_b64encode(signature).decode("ascii").rstrip("=")
    return pair, f"{evidence.enrolment_line(pair, signer)} {ENDORSED_PREFIX}{vouched}"


def finish(path: Path) -> keys.KeyPair:
    """Put the next keys in the place of those in use; what was cut off half-way is completed.

    Raises `LinkError` when there are none.
    """
    ahead = next_key_path(path)
    moves = [(path, ahead), (evidence.evidence_key_path(path), evidence.evidence_key_path(ahead))]
    if not any(later.exists() for _, later in moves):
        raise LinkError(f"there is no next key beside {path}; run `skywarden keys rotate {path}` first")
    for now, later in moves:
        if not later.exists():
            continue
        if now == path:
            keys.load_key_file(later)
        else:
            evidence.load_evidence_key(later)
        try:
            if now.exists():
                now.replace(now.parent / f"{now.name}.old")
            later.replace(now)
            sync(now.parent)
        except OSError as error:
            raise LinkError(f"{now}: cannot be replaced ({error.strerror})") from error
    return keys.load_key_file(path)


def endorsement_in(text: str) -> bytes | None:
    """The signature of an older evidence key in a line of keys, `None` without one; raises `LinkError`."""
    words = [word for word in text.split() if word.startswith(ENDORSED_PREFIX)]
    if not words:
        return None
    letters = words[0].removeprefix(ENDORSED_PREFIX)
    try:
        signature = base64.b64decode(letters + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise LinkError(f"the word with {ENDORSED_PREFIX} is damaged") from error
    if len(signature) != evidence.SIGNATURE_BYTES:
        raise LinkError(f"the word with {ENDORSED_PREFIX} is damaged: {len(signature)} bytes")
    return signature
