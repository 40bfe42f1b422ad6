"""Writes PMTiles, version 3 of its specification (https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md):
a header of 127 bytes, a root directory, metadata, leaf directories, tiles in the order of a Hilbert curve.
"""

import gzip
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from skywarden.errors import InputError

Tile = tuple[int, int, int]
"""Zoom, column from the west, row from the north."""

MAX_ZOOM = 24
_HEADER_BYTES = 127
_ROOT_BYTES = 16_384 - _HEADER_BYTES
_LEAF_ENTRIES = 4_096
_COPY_BYTES = 1 << 20
TILE_TYPES = {"mvt": 1, "png": 2, "jpeg": 3, "webp": 4}
_GZIP, _PLAIN = 2, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where a tile lies in the part of the tiles, and how many tiles in a row are the same bytes."""

    tile_id: int
    offset: int
    length: int
    run: int


def tile_id(tile: Tile) -> int:
    """Number of a tile on the Hilbert curves of all zooms; raises `InputError` outside the pyramid."""
    zoom, column, row = tile
    if not (0 <= zoom <= MAX_ZOOM and 0 <= column < 1 << zoom and 0 <= row < 1 << zoom):
        raise InputError(f"there is no tile {zoom}/{column}/{row}")
    number, x, y = ((1 << 2 * zoom) - 1) // 3, column, row
    side = (1 << zoom) >> 1
    while side:
        right, below = bool(x & side), bool(y & side)
        number += side * side * ((3 * right) ^ below)
        if not below:
            if right:
                x, y = side - 1 - (x & side - 1), side - 1 - (y & side - 1)
            x, y = y, x
        side >>= 1
    return number


def write_pmtiles(
    path: Path,
    tiles: Iterable[tuple[Tile, bytes]],
    *,
    kind: str,
    bounds: tuple[float, float, float, float],
    metadata: dict[str, Any],
) -> int:
    """Write tiles (any order, each once) to `path`; how many there were.

    `kind` is mvt, png, jpeg or webp; the bytes of mvt are gzipped already. `bounds` are west, south, east,
    north.
    Raises `InputError` when there is no tile, or one comes twice.
    """
    with TemporaryFile(dir=path.parent) as heap:
        places: list[tuple[int, int, int]] = []
        known: dict[bytes, tuple[int, int]] = {}
        zooms: set[int] = set()
        for tile, data in tiles:
            zooms.add(tile[0])
            place = known.get(data) if len(data) <= 1_024 else None
            if place is None:
                place = (heap.tell(), len(data))
                heap.write(data)
                if len(data) <= 1_024 and len(known) < 100_000:
                    known[data] = place
            places.append((tile_id(tile), *place))
        if not places:
            raise InputError("there is not one tile to write")
        places.sort()
        entries = _joined(places)
        root, leaves = _directories(entries)
        about = gzip.compress(json.dumps(metadata).encode(), mtime=0)
        header = _header(
            (len(root), len(about), len(leaves), heap.tell()),
            (len(places), len(entries), len({place[1] for place in places})),
            TILE_TYPES[kind],
            (min(zooms), max(zooms)),
            bounds,
        )
        part = path.with_name(path.name + ".part")
        with part.open("wb") as out:
            for block in (header, root, about, leaves):
                out.write(block)
            heap.seek(0)
            while block := heap.read(_COPY_BYTES):
                out.write(block)
        part.replace(path)
    return len(places)


def _joined(places: list[tuple[int, int, int]]) -> list[Entry]:
    """Neighbours with the same bytes as one entry."""
    entries: list[Entry] = []
    for number, offset, length in places:
        last = entries[-1] if entries else None
        if last is not None and number < last.tile_id + last.run:
            raise InputError(f"tile number {number} comes twice")
        if last is not None and number == last.tile_id + last.run and offset == last.offset:
            entries[-1] = Entry(tile_id=last.tile_id, offset=offset, length=length, run=last.run + 1)
        else:
            entries.append(Entry(tile_id=number, offset=offset, length=length, run=1))
    return entries


def _directories(entries: list[Entry]) -> tuple[bytes, bytes]:
    """The root, and the leaves that it names where it alone would be too large."""
    root = _packed(entries)
    if len(root) <= _ROOT_BYTES:
        return root, b""
    size = _LEAF_ENTRIES
    while True:
        leaves, named = bytearray(), []
        for first in range(0, len(entries), size):
            leaf = _packed(entries[first : first + size])
            named.append(Entry(tile_id=entries[first].tile_id, offset=len(leaves), length=len(leaf), run=0))
            leaves += leaf
        root = _packed(named)
        if len(root) <= _ROOT_BYTES:
            return root, bytes(leaves)
        size *= 2


def _packed(entries: list[Entry]) -> bytes:
    """Five columns of varints, gzipped: count, steps of ids, runs, lengths, offsets (0: right behind)."""
    out = bytearray(_varint(len(entries)))
    before = 0
    for one in entries:
        out += _varint(one.tile_id - before)
        before = one.tile_id
    for one in entries:
        out += _varint(one.run)
    for one in entries:
        out += _varint(one.length)
    end: int | None = None
    for one in entries:
        out += _varint(0 if one.offset == end else one.offset + 1)
        end = one.offset + one.length
    return gzip.compress(bytes(out), mtime=0)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _header(
    sizes: tuple[int, int, int, int],
    counts: tuple[int, int, int],
    kind: int,
    zooms: tuple[int, int],
    bounds: tuple[float, float, float, float],
) -> bytes:
    offsets = [_HEADER_BYTES]
    for size in sizes[:-1]:
        offsets.append(offsets[-1] + size)
    pairs = [number for pair in zip(offsets, sizes, strict=True) for number in pair]
    west, south, east, north = (round(one * 1e7) for one in bounds)
    middle = (zooms[0], (west + east) // 2, (south + north) // 2)
    return (
        b"PMTiles\x03"
        + struct.pack("<8Q", *pairs)
        + struct.pack("<3Q", *counts)
        + struct.pack("<6B", 1, _GZIP, _GZIP if kind == TILE_TYPES["mvt"] else _PLAIN, kind, *zooms)
        + struct.pack("<4i", west, south, east, north)
        + struct.pack("<Bii", *middle)
    )


def read_about(file: IO[bytes]) -> tuple[int, dict[str, Any]]:
    """Kind of tile and metadata of a PMTiles file; raises `InputError` when it is none."""
    header = file.read(_HEADER_BYTES)
    if len(header) != _HEADER_BYTES or header[:8] != b"PMTiles\x03":
        raise InputError("this is not a PMTiles file of version 3")
    offset, length = struct.unpack_from("<2Q", header, 24)
    if length > 4_000_000:
        raise InputError(f"its metadata are {length} bytes, more than 4,000,000")
    file.seek(offset)
    try:
        data = file.read(length)
        about = json.loads(gzip.decompress(data) if header[97] == _GZIP else data)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"its metadata cannot be read ({error})") from error
    return header[99], about if isinstance(about, dict) else {}


def tiles_of_zoom(bounds: tuple[float, float, float, float], zoom: int) -> Iterator[Tile]:
    """Tiles of a zoom that a box of web Mercator metres (west, south, east, north) touches."""
    half = 20_037_508.342789244
    size = 2 * half / (1 << zoom)
    most = (1 << zoom) - 1

    def clamp(value: float) -> int:
        return max(0, min(most, int(value)))

    west, south, east, north = bounds
    for column in range(clamp((west + half) // size), clamp((east + half) // size) + 1):
        for row in range(clamp((half - north) // size), clamp((half - south) // size) + 1):
            yield zoom, column, row
