"""Maps of an agency in a real browser: shapes, pictures, old tiles and relief, built, served and painted."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from ground.accounts.roles import Role
from ground.basemap.build import build
from ground.serve import GroundHandle
from skywarden.geometry.terrain import Terrain, save_tile
from tests.e2e.browsing import LIMIT_MS, violations
from tests.ground.scenes import METRE_DEG, position, put, running_edge, running_ground, sighting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]

_SHOTS = os.environ.get("SKYWARDEN_SHOTS")
"""A folder for pictures of what was tested, to be looked at; nothing is written without it."""
KM_DEG = 1_000 * METRE_DEG
RED, BLUE, GREEN = (200, 40, 40), (30, 60, 200), (20, 170, 60)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[GroundHandle]:
    """A station whose folder of layers holds one file of each kind, side by side near 0 N 20 E."""
    layers = tmp_path / "ground" / "layers"
    layers.mkdir(parents=True, mode=0o700)
    (tmp_path / "ground").chmod(0o700)
    _charts(tmp_path, layers)
    _photo(tmp_path, layers)
    _old_tiles(tmp_path, layers)
    _relief(tmp_path, layers)
    with running_ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def opened(browser: Browser, station: GroundHandle, tmp_path: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 844}, color_scheme="light")
    try:
        with running_edge(tmp_path, station) as (outbox, downlink):
            corners = [(north, east) for north in (-2_600.0, 2_600.0) for east in (-2_600.0, 2_600.0)]
            put(outbox, *(sighting(f"t{n}", n, place=position(*at)) for n, at in enumerate(corners)))
            assert downlink.wait_until_delivered(30)
            page = context.new_page()
            page.set_default_timeout(LIMIT_MS)
            page.goto(station.sign_in_page("ana", Role.OPERATOR))
            page.wait_for_selector('[data-testid="map"][data-ready="true"]')
            expect(page.get_by_test_id("contact-row")).to_have_count(4)
            yield page
    finally:
        context.close()


def test_every_kind_of_basemap_is_painted_where_it_lies_and_goes_when_it_is_switched_off(
    opened: Page,
) -> None:
    troubles: list[str] = []
    opened.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    opened.get_by_test_id("fit").click()
    _wait(opened, lambda picture: _share(picture, BLUE) > 0.02, "the picture of the GeoTIFF")
    _wait(opened, lambda picture: _share(picture, GREEN) > 0.02, "the tiles of the MBTiles")
    _wait(opened, lambda picture: _share(picture, RED, 60) > 0.02, "the shapes of the GeoPackage")
    shaded = _wait(opened, lambda picture: _relief_contrast(picture) > 8.0, "the shaded relief")
    _shot(opened, "basemaps-light")
    opened.get_by_test_id("legend-toggle").click()
    legend = opened.get_by_test_id("legend")
    for title in ("Charts", "Photo", "Old", "Relief of the hills"):
        expect(legend.get_by_label(title)).to_be_checked()
    legend.get_by_label("Relief of the hills").uncheck()
    flat = _wait(opened, lambda picture: _relief_contrast(picture) < 4.0, "the relief gone")
    assert _relief_contrast(shaded) > 2 * _relief_contrast(flat)
    legend.get_by_label("Photo").uncheck()
    _wait(opened, lambda picture: _share(picture, BLUE) < 0.001, "the picture gone")
    legend.get_by_label("Relief of the hills").check()
    opened.keyboard.press("Escape")
    assert violations(opened) == []
    for theme in ("dark", "night"):
        opened.get_by_test_id("theme").click()
        expect(opened.locator("html")).to_have_attribute("data-theme", theme)
        _wait(opened, lambda picture: _relief_contrast(picture) > 2.0, f"the relief in {theme}")
        _shot(opened, f"basemaps-{theme}")
    assert troubles == []


def _charts(folder: Path, layers: Path) -> None:
    import pyogrio
    from shapely import Polygon, to_wkb

    west, south = 20.0 - 3 * KM_DEG, -3 * KM_DEG
    ring = [(west, south), (west + 2.6 * KM_DEG, south), (west + 2.6 * KM_DEG, south + 2.6 * KM_DEG)]
    shape = Polygon([*ring, (west, south + 2.6 * KM_DEG)])
    pyogrio.raw.write(
        folder / "charts.gpkg",
        geometry=np.array([to_wkb(shape)], dtype=object),
        field_data=[np.array(["Harbour"], dtype=object)],
        fields=["name"],
        geometry_type="Polygon",
        crs="EPSG:4326",
        layer="harbour",
    )
    build(folder / "charts.gpkg", layers / "charts.pmtiles", title="Charts", max_zoom=12)
    _restyle(layers / "charts.json", color="#c82828", fill_opacity=0.9)


def _photo(folder: Path, layers: Path) -> None:
    import rasterio
    from rasterio.transform import from_bounds

    west, south = 20.0 + 0.4 * KM_DEG, -3 * KM_DEG
    with rasterio.open(
        folder / "photo.tif",
        "w",
        driver="GTiff",
        width=256,
        height=256,
        count=3,
        dtype="uint8",
        crs="EPSG:4326",
        transform=from_bounds(west, south, west + 2.6 * KM_DEG, south + 2.6 * KM_DEG, 256, 256),
    ) as image:
        image.write(np.repeat(np.array(BLUE, np.uint8)[:, None, None], 256, 1).repeat(256, 2))
    build(folder / "photo.tif", layers / "photo.pmtiles", title="Photo", max_zoom=15)


def _old_tiles(folder: Path, layers: Path) -> None:
    """Zoom 14: the tile that lies north-west of the middle, its row counted from the south."""
    _, png = cv2.imencode(".png", np.full((256, 256, 3), GREEN[::-1], np.uint8))
    side = 1 << 14
    column = int((20.0 - 1.5 * KM_DEG + 180.0) / 360.0 * side)
    rows = [(14, column, side // 2, png.tobytes())]
    db = apsw.Connection(str(folder / "old.mbtiles"))
    try:
        db.execute(
            "CREATE TABLE metadata(name, value);"
            "CREATE TABLE tiles(zoom_level, tile_column, tile_row, tile_data)"
        )
        db.executemany("INSERT INTO metadata VALUES(?, ?)", [("format", "png"), ("name", "Old")])
        db.executemany("INSERT INTO tiles VALUES(?, ?, ?, ?)", rows)
    finally:
        db.close()
    build(folder / "old.mbtiles", layers / "old.pmtiles", title="Old")


def _relief(folder: Path, layers: Path) -> None:
    """Hills north-east of the middle, ridges 500 m apart."""
    nodes = 120
    along = np.linspace(0.0, 2.6 * KM_DEG, nodes)
    heights = 60.0 * np.sin((along[:, None] + along[None, :]) / (0.5 * KM_DEG) * 2 * np.pi)
    terrain = Terrain(
        heights.astype(np.float32),
        north_deg=3.0 * KM_DEG,
        west_deg=20.0 + 0.4 * KM_DEG,
        step_latitude_deg=along[1],
        step_longitude_deg=along[1],
    )
    save_tile(terrain, folder / "hills.npz")
    build(folder / "hills.npz", layers / "hills.pmtiles", title="Relief of the hills", is_terrain=True)


def _restyle(beside: Path, **style: object) -> None:
    told = json.loads(beside.read_text(encoding="utf-8"))
    told["style"] |= style
    beside.write_text(json.dumps(told), encoding="utf-8")


def _picture(page: Page) -> NDArray[np.uint8]:
    """What the map's canvas shows, RGB."""
    data = np.frombuffer(page.get_by_test_id("map").screenshot(), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels[..., ::-1], np.uint8)


def _share(picture: NDArray[np.uint8], colour: tuple[int, int, int], reach: int = 24) -> float:
    near = np.abs(picture.astype(int) - np.array(colour)).max(axis=-1) < reach
    return float(near.mean())


def _relief_contrast(picture: NDArray[np.uint8]) -> float:
    """How much brightness varies on the hills, right above the middle and left of the card of layers."""
    height, width = picture.shape[:2]
    part = picture[int(0.22 * height) : int(0.42 * height), int(0.56 * width) : int(0.615 * width)]
    return float(part.mean(axis=-1).std())


def _wait(page: Page, holds: object, what: str) -> NDArray[np.uint8]:
    assert callable(holds)
    end_s = time.monotonic() + LIMIT_MS / 1000
    while time.monotonic() < end_s:
        picture = _picture(page)
        if holds(picture):
            return picture
        page.wait_for_timeout(250)
    _shot(page, "basemaps-failed")
    raise AssertionError(f"not seen within 30 s: {what}")


def _shot(page: Page, name: str) -> None:
    if _SHOTS:
        page.screenshot(path=Path(_SHOTS) / f"{name}.png")
