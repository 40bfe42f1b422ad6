"""The `chart` section of the edge's file."""

from typing import Annotated, Literal

from msgspec import Meta

from skywarden.config import Config
from skywarden.messages import Label

Labels = Annotated[tuple[Label, ...], Meta(max_length=64)]


class ChartConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ground is land, and what is not told of when it stands on the wrong one; docs/chart.md.

    Attributes:
        path: GeoPackage (.gpkg) or GeoJSON with polygons in WGS 84; empty for none.
        layer: the GeoPackage's table, where it has several.
        shows: what the polygons are; what lies between them is the other.
        margin_m: so far from the shore as drawn nothing is left out: boats on a beach, at a quay, in a
            marina that the chart does not know. At least the error of the chart itself.
        sigmas: and so many sigmas of the place of each detection more.
        on_water: labels that are not told of on land.
        on_land: labels that are not told of on water.
    """

    path: Annotated[str, Meta(max_length=4096)] = ""
    layer: Annotated[str, Meta(max_length=256)] = ""
    shows: Literal["land", "water"] = "land"
    margin_m: Annotated[float, Meta(ge=0.0, le=100_000.0)] = 100.0
    sigmas: Annotated[float, Meta(ge=0.0, le=10.0)] = 3.0
    on_water: Labels = ("vessel",)
    on_land: Labels = ("plot", "parcel", "plantation")

    def __post_init__(self) -> None:
        """Refuse a label that may be nowhere."""
        both = sorted(set(self.on_water) & set(self.on_land))
        if both:
            raise ValueError(f"chart.on_water and chart.on_land both name {', '.join(both)}")
