"""Letting a platform in by the line of its keys: the first time, and again when its keys are rotated."""

from pathlib import Path

from ground.link.authenticator import AllowList, Enrolled, enrol, evidence_keys_in
from skywarden.errors import LinkError
from skywarden.evidence import read_public_keys
from skywarden.link import keys
from skywarden.link.enrolment import is_endorsed
from skywarden.link.rotation import endorsement_in

OVERLAP_HOURS = 24.0
"""How long the old keys of a platform stay good beside those that they vouch for."""


def enrol_line(
    folder: Path,
    platform_id: str,
    text_or_path: str,
    *,
    now_ns: int,
    replace: bool = False,
    overlap_hours: float | None = None,
) -> Enrolled:
    """Let `platform_id` in with the keys in a line, or in a file that holds it, into the list at `folder`.

    A line of `skywarden keys rotate` needs no `replace`: the enrolled evidence key vouches for it; the old
    keys stay good for `overlap_hours` (24 unless told). Raises `UsageError`, and `LinkError` when the line is
    damaged or vouched for by a key that is not this platform's.
    """
    public, signers = keys.read_public(text_or_path), read_public_keys(text_or_path)
    signature = endorsement_in(_text_of(text_or_path))
    if signature is not None:
        known = evidence_keys_in(AllowList(folder).enrolled()).get(platform_id, ())
        if len(signers) != 1 or not is_endorsed(known, signature, public, signers[0]):
            raise LinkError(
                f"this line is vouched for, but not by an evidence key that {platform_id} is enrolled with; "
                "compare fingerprints, then enrol it without its last word"
            )
        replace = True
        overlap_hours = OVERLAP_HOURS if overlap_hours is None else overlap_hours
    until_ns = now_ns + round(overlap_hours * 3600e9) if overlap_hours else None
    return enrol(
        folder, platform_id, public, evidence_keys=signers, replace=replace, overlap_until_ns=until_ns
    )


def _text_of(text_or_path: str) -> str:
    """The line itself; its file was read and found small a moment ago."""
    if text_or_path.startswith(keys.PUBLIC_PREFIX):
        return text_or_path
    try:
        return Path(text_or_path).read_bytes()[: keys.MAX_FILE_BYTES].decode("ascii", "replace")
    except OSError as error:
        raise LinkError(f"{text_or_path[:80]!r} cannot be read") from error
