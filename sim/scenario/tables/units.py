"""Ranges of the numbers and names in a scenario file."""

from typing import Annotated

from msgspec import Meta

Metres = Annotated[float, Meta(ge=-20_000.0, le=20_000.0)]
Size = Annotated[float, Meta(gt=0.0, le=500.0)]
Degrees = Annotated[float, Meta(ge=-360.0, le=360.0)]
Speed = Annotated[float, Meta(ge=0.0, le=60.0)]
Rate = Annotated[float, Meta(gt=0.0, le=200.0)]
Sigma = Annotated[float, Meta(ge=0.0, le=100.0)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]
Name = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9\-]+$")]
Point = tuple[Metres, Metres]
Line = Annotated[tuple[Point, ...], Meta(min_length=2, max_length=200)]
Bgr = tuple[Annotated[int, Meta(ge=0, le=255)], ...]
