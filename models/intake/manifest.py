"""Signed manifests: who stands for a model, its file, its description and its classes, and until when.

The envelope is DSSE 1.0 (github.com/secure-systems-lab/dsse) as JSON in `model.sig` beside `model.toml`: a
payload in base64 and Ed25519 signatures over its type and bytes. Everything is checked before an engine sees
a byte of the model.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from models.description import LabelText, ModelDescription
from skywarden.errors import LinkError, ModelError

if TYPE_CHECKING:
    from skywarden.evidence import EvidenceKey

SIGNATURE_NAME = "model.sig"
PAYLOAD_TYPE = "application/vnd.skywarden.model-manifest+json"
MAX_ENVELOPE_BYTES = 64 * 1024
MAX_SIGNATURES = 16

Sha256Text = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. `expires` is the last day on which the model may be loaded, `None` for no end."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    task: Annotated[str, Meta(max_length=32)]
    licence: Annotated[str, Meta(max_length=100)]
    sha256: Sha256Text
    description_sha256: Sha256Text
    input: Annotated[str, Meta(max_length=100)]
    labels: Annotated[tuple[LabelText, ...], Meta(min_length=1, max_length=256)]
    signed_on: date
    expires: date | None = None


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    keyid: Annotated[str, Meta(max_length=128)]
    sig: Annotated[str, Meta(max_length=256)]


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, rename={"payload_type": "payloadType"}):
    payload_type: Annotated[str, Meta(max_length=128)]
    payload: Annotated[str, Meta(max_length=MAX_ENVELOPE_BYTES)]
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=MAX_SIGNATURES)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whose signatures count and what day it is.

    Attributes:
        keys: public Ed25519 keys, 32 bytes each; none trusts nobody.
        now_ns: the time, UTC; a manifest that has expired by then is refused.
        trusts_package: whether a model of the package's own zoo needs no signature: whoever could change it
            could change this check as well.
    """

    keys: tuple[bytes, ...]
    now_ns: int
    trusts_package: bool = True


def input_text(description: ModelDescription) -> str:
    """The input in words that a person can compare, as in "letterbox f32_nchw bgr 416x416"."""
    image = description.input
    size = f"{image.width_px}x{image.height_px}" if image.has_fixed_size else f"up to {image.long_side_px}"
    return f"{image.fit} {image.tensor} {image.channels} {size}"


def manifest_of(
    description: ModelDescription, description_bytes: bytes, *, now_ns: int, expires: date | None = None
) -> Manifest:
    """What there is to sign about a described model."""
    return Manifest(
        name=description.name,
        version=description.version,
        task=description.task,
        licence=description.licence,
        sha256=description.sha256,
        description_sha256=hashlib.sha256(description_bytes).hexdigest(),
        input=input_text(description),
        labels=description.allowed_labels,
        signed_on=datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).date(),
        expires=expires,
    )


def sign_manifest(manifest: Manifest, key: "EvidenceKey") -> bytes:
    """The contents of `model.sig`."""
    payload = msgspec.json.encode(manifest)
    signature = key.sign(_signed_text(PAYLOAD_TYPE, payload))
    envelope = _Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=base64.b64encode(payload).decode(),
        signatures=(_Signature(keyid=key.public_text, sig=base64.b64encode(signature).decode()),),
    )
    return msgspec.json.format(msgspec.json.encode(envelope), indent=1) + b"\n"


def read_envelope(path: Path) -> bytes:
    """The bytes of a `model.sig`, size checked first; raises `ModelError`, also when there is none."""
    try:
        size = path.stat().st_size
        if size > MAX_ENVELOPE_BYTES:
            raise ModelError(f"{path}: {size} bytes; a signature file has at most {MAX_ENVELOPE_BYTES}")
        return path.read_bytes()[: MAX_ENVELOPE_BYTES + 1]
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: is missing, so nobody stands for this model; `skywarden models sign` makes it"
        ) from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error


def open_manifest(envelope: bytes, trust: Trust, origin: str) -> Manifest:
    """The manifest in an envelope that one of the trusted keys has signed and that has not expired.

    Nothing in the payload is read before a signature over it holds. Raises `ModelError`, naming `origin`.
    """
    from skywarden.evidence import is_signed_by  # needs `cryptography`, which only who trusts keys must have

    try:
        outer = msgspec.json.decode(envelope, type=_Envelope)
        payload = base64.b64decode(outer.payload, validate=True)
        signed = [(one.keyid, base64.b64decode(one.sig, validate=True)) for one in outer.signatures]
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise ModelError(f"{origin}: is no signature file ({_one_line(error)})") from error
    if outer.payload_type != PAYLOAD_TYPE:
        raise ModelError(f"{origin}: signs {outer.payload_type[:60]!r}, not a model manifest")
    text = _signed_text(PAYLOAD_TYPE, payload)
    if not any(is_signed_by(public, signature, text) for _, signature in signed for public in trust.keys):
        claims = ", ".join(sorted({_shown(keyid) for keyid, _ in signed}))
        raise ModelError(
            f"{origin}: none of its {len(signed)} signatures (by {claims}) holds under the "
            f"{len(trust.keys)} trusted keys; it was changed, or its signer is not trusted here"
        )
    try:
        manifest = msgspec.json.decode(payload, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ModelError(f"{origin}: the signed manifest is not one ({_one_line(error)})") from error
    if manifest.expires is not None and trust.now_ns >= _end_ns(manifest.expires):
        raise ModelError(f"{origin}: the signature expired on {manifest.expires.isoformat()}; sign it anew")
    return manifest


def require_match(
    manifest: Manifest, description: ModelDescription, description_bytes: bytes, file_sha256: str, origin: str
) -> None:
    """Raise `ModelError`, naming what differs, unless the manifest speaks of this model and description."""
    if manifest.sha256 != file_sha256:
        raise ModelError(
            f"{origin}: the file's sha256 is {file_sha256[:16]}..., signed is {manifest.sha256[:16]}...; "
            "it is damaged or another one"
        )
    found = hashlib.sha256(description_bytes).hexdigest()
    if manifest.description_sha256 != found:
        raise ModelError(f"{origin}: its model.toml was changed after it was signed; sign it anew")
    due = {
        "name": description.name,
        "version": description.version,
        "task": description.task,
        "licence": description.licence,
        "sha256": description.sha256,
        "input": input_text(description),
        "labels": description.allowed_labels,
    }
    for field, want in due.items():
        have = getattr(manifest, field)
        if have != want:
            raise ModelError(f"{origin}: the signed {field} is {have!r}, the description says {want!r}")


def trusted_keys(text_or_path: str) -> tuple[bytes, ...]:
    """Public keys from a line of `swev1:...` words, or from a file of such lines; raises `ModelError`."""
    from skywarden.evidence import public_keys_in

    try:
        if "swev1:" in text_or_path:
            keys = public_keys_in(text_or_path)
        else:
            path = Path(text_or_path)
            if path.stat().st_size > MAX_ENVELOPE_BYTES:
                raise ModelError(f"{path}: {path.stat().st_size} bytes is too large for a list of keys")
            lines = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
            keys = public_keys_in("\n".join(lines))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{text_or_path[:80]!r} is no readable file of keys ({_one_line(error)})") from error
    except LinkError as error:
        raise ModelError(f"{text_or_path[:80]!r}: {error}") from error
    if not keys:
        raise ModelError(f"{text_or_path[:80]!r} holds no public key (swev1:...)")
    return tuple(dict.fromkeys(keys))


def signer_of(envelope: bytes, trust: Trust) -> str | None:
    """The trusted key whose signature holds, as `swev1:...`; `None` when there is none."""
    from skywarden.evidence import is_signed_by, public_text

    outer = msgspec.json.decode(envelope, type=_Envelope)
    text = _signed_text(outer.payload_type, base64.b64decode(outer.payload))
    for one in outer.signatures:
        for public in trust.keys:
            if is_signed_by(public, base64.b64decode(one.sig), text):
                return public_text(public)
    return None


def _signed_text(kind: str, payload: bytes) -> bytes:
    """What a signature is over: DSSE's pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def _end_ns(last_day: date) -> int:
    midnight = datetime.combine(last_day, time(), UTC)
    return (int(midnight.timestamp()) + 86_400) * 1_000_000_000


def _shown(keyid: str) -> str:
    return re.sub(r"[^A-Za-z0-9:_\-]", "?", keyid)[:24] + "..."


def _one_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:160]
