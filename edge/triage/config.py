"""What is worth how much, and how much pictures may cost: the `triage` section of the edge's file."""

from typing import Annotated

from msgspec import Meta

from skywarden.config import Config
from skywarden.messages import Label

Value = Annotated[float, Meta(gt=0.0, le=1000.0)]
PerHour = Annotated[int, Meta(ge=0, le=10**12)]


class TriageConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is worth its bytes on the link.

    Attributes:
        class_value: what an object of a label is worth beside others; 1.0 for labels not named.
        picture_bytes_per_hour: at most so many bytes of pictures an hour for each label named; 0 for none.
        repeat_s: a known object is an alert again after so long.
        picture_link_s: a picture is made so small that it takes at most so long at the measured rate.
        picture_min_bytes: but never smaller than this.
        picture_max_bytes: and never larger.
        picture_floor: pictures that are worth less than two to this power per KiB are not sent on their own.
        frames_max_bytes: source frames of sightings are kept for requests up to so many bytes; 0 keeps none.
        frames_min_free_bytes: and only while so much of the disk is free.
    """

    class_value: Annotated[dict[Label, Value], Meta(max_length=64)] = {}  # noqa: RUF012 (frozen, msgspec copies)
    picture_bytes_per_hour: Annotated[dict[Label, PerHour], Meta(max_length=64)] = {}  # noqa: RUF012 (frozen, msgspec copies)
    repeat_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 30.0
    picture_link_s: Annotated[float, Meta(ge=0.1, le=3600.0)] = 5.0
    picture_min_bytes: Annotated[int, Meta(ge=600, le=200_000)] = 1_500
    picture_max_bytes: Annotated[int, Meta(ge=600, le=200_000)] = 24_000
    picture_floor: Annotated[float, Meta(ge=-16.0, le=16.0)] = -8.0
    frames_max_bytes: Annotated[int, Meta(ge=0, le=10**13)] = 2_000_000_000
    frames_min_free_bytes: Annotated[int, Meta(ge=0, le=10**13)] = 2_000_000_000

    def __post_init__(self) -> None:
        """Refuse bounds that are upside down."""
        if self.picture_min_bytes > self.picture_max_bytes:
            raise ValueError(
                f"picture_min_bytes {self.picture_min_bytes} is over "
                f"picture_max_bytes {self.picture_max_bytes}"
            )
