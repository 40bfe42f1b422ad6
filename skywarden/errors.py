"""One tree of errors; each says what is wrong with the numbers in the sentence, and carries its exit code."""


class SkywardenError(Exception):
    """Base of every error that skywarden raises on purpose.

    `exit_code` is what the command line answers with (see docs/reference/cli).
    """

    exit_code = 1


class ConfigError(SkywardenError):
    """A configuration file, key or environment override is wrong. systemd must not restart on it."""

    exit_code = 78


class UsageError(SkywardenError):
    """The words of a command do not fit together."""

    exit_code = 2


class PeerUnavailableError(SkywardenError):
    """The other end (autopilot, camera, ground station) could not be reached."""

    exit_code = 69


class InputError(SkywardenError):
    """Something from outside (file, radio, web) is damaged, too large or not what it claims to be."""


class WireError(InputError):
    """Bytes from the link are not a message of ours: wrong version, unknown topic, over size, not valid."""


class FlightError(InputError):
    """A flight folder is incomplete, damaged or from a version that cannot be read."""


class VerificationError(FlightError):
    """Something was read, but less was found or verified than the manifest promises."""

    exit_code = 3


class ModelError(InputError):
    """A model file is missing, damaged, not allowed, or does not fit what its description says."""


class GeometryError(SkywardenError):
    """A computation has no answer: beyond the fold of a lens, outside a terrain tile, at no height."""


class CameraError(SkywardenError):
    """A camera or video source could not be opened or ended badly."""


class LinkError(SkywardenError):
    """The link cannot work as configured: no key, authenticator not alive, address in use."""


class StoreError(SkywardenError):
    """The store is locked, damaged, from a newer version, or not durable."""


class AccessError(SkywardenError):
    """Somebody is not let in: a wrong or expired proof, or too many tries; `wait_s` says for how long."""

    def __init__(self, text: str, *, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class ConflictError(SkywardenError):
    """Somebody else changed it first; look again at what it is now, then decide."""
