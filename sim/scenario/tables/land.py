"""The land of a scenario: relief, water courses, roads, plots, parcels, buildings and decoys."""

from typing import Annotated, Literal

from msgspec import Meta, field

from sim.scenario.tables.units import Bgr, Degrees, Line, Name, Point, Share, Size
from skywarden.config import Config


class Hill(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rise of the land: a bell of this height and these radii along and across `azimuth_deg`."""

    at: Point
    height_m: Annotated[float, Meta(gt=0.0, le=2_000.0)]
    length_m: Annotated[float, Meta(gt=10.0, le=5_000.0)]
    width_m: Annotated[float, Meta(gt=10.0, le=5_000.0)]
    azimuth_deg: Degrees = 0.0


class River(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Water at sea level that cuts through the land along a line whose corners are rounded."""

    line: Line
    width_m: Annotated[float, Meta(ge=10.0, le=2_000.0)] = 90.0


class Island(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Land in the sea or a bar in a river: an ellipse with a ragged edge."""

    at: Point
    length_m: Annotated[float, Meta(ge=10.0, le=5_000.0)]
    width_m: Annotated[float, Meta(ge=10.0, le=5_000.0)]
    azimuth_deg: Degrees = 0.0


class Breakwater(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wall of stones in the water, along a line."""

    line: Line
    width_m: Annotated[float, Meta(ge=4.0, le=80.0)] = 14.0


class Land(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The land lies north of the coast line, which swings about `coast_north_m`.

    A coast line far north of the place leaves only sea, one far south only land. `greenness` goes from
    parched (-1) to lush (1); `relief_m` is how rough the land is besides its hills.
    """

    coast_north_m: Annotated[float, Meta(ge=-60_000.0, le=60_000.0)] = 0.0
    coast_swing_m: Annotated[float, Meta(ge=0.0, le=500.0)] = 70.0
    hills: Annotated[tuple[Hill, ...], Meta(max_length=40)] = ()
    rivers: Annotated[tuple[River, ...], Meta(max_length=20)] = ()
    islands: Annotated[tuple[Island, ...], Meta(max_length=40)] = ()
    breakwaters: Annotated[tuple[Breakwater, ...], Meta(max_length=40)] = ()
    roads: Annotated[tuple[Line, ...], Meta(max_length=40)] = ()
    paved: Annotated[tuple[Line, ...], Meta(max_length=40)] = ()
    quays: Annotated[tuple[tuple[Point, ...], ...], Meta(max_length=20)] = ()
    forest_cover: Share = 0.45
    greenness: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.0
    relief_m: Annotated[float, Meta(ge=0.0, le=200.0)] = 5.0
    seed: Annotated[int, Meta(ge=0, le=2**32)] | None = None
    """Draws coast, relief and plants; without it the scenario's own seed does."""


ShapeKind = Literal["blob", "rectangle", "circle", "ring-sector", "l", "strip", "kidney"]


class Shape(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An outline by name instead of by points: of about this length and width, turned and made ragged."""

    kind: ShapeKind = "blob"
    at: Point
    length_m: Size
    width_m: Size
    azimuth_deg: Degrees = 0.0


Outline = Annotated[tuple[Point, ...], Meta(max_length=64)]


class Plot(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cultivated plot: its outline (points, or a `shape`) and its rows.

    `growth` is bare soil at 0 and closed cover at 1; `growth_by_season` names it for each season in which the
    plot is there at all (empty: it always is).
    """

    id: Name
    outline: Outline = ()
    shape: Shape | None = None
    row_spacing_m: Annotated[float, Meta(ge=0.4, le=10.0)] = 1.8
    row_azimuth_deg: Degrees = 0.0
    growth: Share = 0.6
    growth_by_season: Annotated[dict[str, Share], Meta(max_length=12)] = field(default_factory=dict)


Use = Literal["pasture", "maize", "orchard", "fallow", "vegetables", "pond", "burnt"]


class Parcel(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lawful piece of land that may look like a plot; truth calls it a decoy."""

    id: Name
    use: Use
    outline: Outline = ()
    shape: Shape | None = None
    row_azimuth_deg: Degrees = 0.0
    growth: Share = 0.6
    growth_by_season: Annotated[dict[str, Share], Meta(max_length=12)] = field(default_factory=dict)


StructureKind = Literal["hut", "shed", "nursery", "house", "warehouse"]


class Structure(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A building: hut, tin-roofed shed, plastic-covered nursery, house, warehouse."""

    id: Name
    kind: StructureKind
    at: Point
    heading_deg: Degrees = 0.0
    length_m: Size = 6.0
    width_m: Size = 4.0


DecoyKind = Literal["rock", "buoy", "jetty", "greenhouse", "debris", "raft"]


class Decoy(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is no vessel and no plot but may be taken for one; truth calls it a decoy."""

    id: Name
    kind: DecoyKind
    at: Point
    heading_deg: Degrees = 0.0
    length_m: Size = 4.0
    width_m: Size = 3.0
    colour_bgr: Bgr | None = None
