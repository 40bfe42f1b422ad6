"""The station's certificate: made here or brought from outside, mode 0600, compared by its fingerprint."""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skywarden.durable import replace_durably
from skywarden.errors import ConfigError, UsageError

VALID_DAYS = 397
_MAX_FILE_BYTES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What people compare and see of a certificate. `fingerprint` is SHA-256 of its DER form."""

    fingerprint: str
    names: tuple[str, ...]
    not_after_ns: int
    is_self_signed: bool


def certificate_path(state_dir: Path) -> Path:
    """Where the certificate (with its chain) lies."""
    return state_dir / "tls" / "certificate.pem"


def private_key_path(state_dir: Path) -> Path:
    """Where its private key lies."""
    return state_dir / "tls" / "private.key"


def has_certificate(state_dir: Path) -> bool:
    """Whether the station has one, and so speaks HTTPS."""
    return certificate_path(state_dir).exists()


def create_certificate(
    state_dir: Path, names: Sequence[str], *, now: datetime.datetime, replace: bool = False
) -> Certificate:
    """Make a key (P-256) and a self-signed certificate for `names` (hosts, addresses), good for 397 days.

    Raises `UsageError` when there is one and `replace` is not said, or a name cannot be one.
    """
    _check_free(state_dir, replace)
    if not names:
        raise UsageError("a certificate needs the names or addresses that browsers will use: --name")
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Skywarden ground station")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(state_dir, certificate.public_bytes(serialization.Encoding.PEM), _pem(key))
    return _described(certificate)


def import_certificate(
    state_dir: Path,
    certificate_file: Path,
    key_file: Path,
    *,
    now: datetime.datetime,
    replace: bool = False,
) -> Certificate:
    """Take over a certificate (PEM, its chain after it) with its unencrypted private key.

    Raises `UsageError` when they cannot be read, do not belong together, or are not good now.
    """
    _check_free(state_dir, replace)
    chain = _read(certificate_file)
    try:
        certificates = x509.load_pem_x509_certificates(chain)
        key = serialization.load_pem_private_key(_read(key_file), password=None)
    except TypeError as error:
        raise UsageError(f"{key_file} is encrypted; a station must start without a person") from error
    except ValueError as error:
        raise UsageError(
            f"{certificate_file} or {key_file} is no certificate or key in PEM form ({error})"
        ) from error
    first = certificates[0]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if first.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise UsageError(f"the key in {key_file} is not the one of the certificate in {certificate_file}")
    if not first.not_valid_before_utc <= now < first.not_valid_after_utc:
        raise UsageError(
            f"{certificate_file} is good from {first.not_valid_before_utc:%Y-%m-%d} to "
            f"{first.not_valid_after_utc:%Y-%m-%d} only"
        )
    _write(state_dir, chain, _pem(key))
    return _described(first)


def load_certificate(state_dir: Path) -> Certificate:
    """The certificate that the station has; raises `UsageError` when there is none."""
    path = certificate_path(state_dir)
    if not path.exists():
        raise UsageError(
            "this station has no certificate; `skywarden ground tls create --name HOST` makes one"
        )
    try:
        return _described(x509.load_pem_x509_certificates(_read(path))[0])
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}); create or import it again with --replace") from error


def check_files(state_dir: Path) -> None:
    """Raise `ConfigError` when the files cannot be used to serve: damaged, or the key open to others."""
    key = private_key_path(state_dir)
    try:
        mode = key.stat().st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(f"{key} has mode {mode:04o}; run `chmod 600 {key}`")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path(state_dir), key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate in {key.parent} cannot be used ({error}); `skywarden ground tls create "
            "--replace` makes a new one"
        ) from error


def _described(certificate: x509.Certificate) -> Certificate:
    digest = certificate.fingerprint(hashes.SHA256()).hex().upper()
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = (
            *found.get_values_for_type(x509.DNSName),
            *(str(one) for one in found.get_values_for_type(x509.IPAddress)),
        )
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(
        fingerprint=":".join(digest[start : start + 2] for start in range(0, len(digest), 2)),
        names=names,
        not_after_ns=round(certificate.not_valid_after_utc.timestamp()) * 1_000_000_000,
        is_self_signed=certificate.issuer == certificate.subject,
    )


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        if not 0 < len(text) <= 253 or any(one in text for one in " /:@\0") or "." * 2 in text:
            raise ValueError("characters that are in no host name")
        return x509.DNSName(text)
    except ValueError as error:
        raise UsageError(f"{text[:80]!r} is neither a host name nor an address ({error})") from error


def _pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _check_free(state_dir: Path, replace: bool) -> None:
    if has_certificate(state_dir) and not replace:
        raise UsageError(
            f"{certificate_path(state_dir)} exists; say --replace to put another one in its place"
        )


def _write(state_dir: Path, certificate: bytes, key: bytes) -> None:
    folder = certificate_path(state_dir).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, data in ((private_key_path(state_dir), key), (certificate_path(state_dir), certificate)):
        replace_durably(path, data, mode=0o600)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes is too large for a certificate or key")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
