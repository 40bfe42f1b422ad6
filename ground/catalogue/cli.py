"""`skywarden ground sorties`, `ground export stac` and `ground export mcap`: what the station has of them."""

import json as json_module
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ground.exports.options import note_export, opened, source_in
from ground.station.options import USUAL, StationFiles
from skywarden.errors import UsageError

Json = Annotated[bool, Parameter(negative=())]
Folder = Annotated[Path, Parameter(name=["--out", "--output"])]


def sorties(*, json: Json = False, station: StationFiles = USUAL) -> int:
    """List the sorties on which something was seen, newest first; works while the station runs.

    For example:

        skywarden ground sorties
        skywarden ground sorties --json

    Parameters
    ----------
    json
        Print JSON Lines.
    """
    import msgspec

    from ground.catalogue.sorties import SortieShelf
    from skywarden.times import rfc3339

    with opened(station.state_dir()) as (reader, _):
        for one in SortieShelf(reader).sorties():
            if json:
                tree = {**msgspec.to_builtins(one), "item_id": one.item_id}
                print(json_module.dumps(tree))
                continue
            print(
                f"{one.item_id}  {rfc3339(one.first_ns)[:19]}Z to {rfc3339(one.last_ns)[:19]}Z  "
                f"{one.track_count} tracks, {one.sighting_count} sightings"
            )
    return 0


def stac(
    sortie: str,
    /,
    *,
    out: Folder,
    flight: Path | None = None,
    unreviewed: Json = False,
    json: Json = False,
    station: StationFiles = USUAL,
) -> int:
    """Write a sortie as a folder with a STAC Item: sightings, tracks, plots, recording, a picture.

    For example:

        skywarden ground export stac 20261121T184210Z_uav07 --out catalogue
        skywarden ground export stac 20261121T184210Z_uav07 --flight flights/20261121T184210Z_uav07 \
            --out catalogue

    Parameters
    ----------
    sortie
        Its id, as `skywarden ground sorties` shows it.
    out
        Folder of the catalogue; the sortie joins what is in it.
    flight
        Folder of the recording from aboard; its files become assets where they lie.
    unreviewed
        Also what no person has confirmed; Item and files say so.
    json
        Print one JSON object: `item`, `notice` and `assets`.
    """
    from ground.catalogue.folder import write_stac_folder
    from ground.catalogue.sorties import SortieShelf

    state_dir = station.state_dir()
    with opened(state_dir) as (reader, book):
        one = SortieShelf(reader).named(sortie)
        made = write_stac_folder(
            source_in(reader, book, state_dir),
            one,
            out,
            with_unreviewed=unreviewed,
            made_ns=time.time_ns(),
            flight=flight,
        )
    note_export(state_dir, f"ground export stac {one.item_id}{' --unreviewed' if unreviewed else ''}")
    if json:
        print(json_module.dumps({"item": str(made.item), "notice": made.notice, "assets": made.assets}))
    else:
        print(f"{made.item}: {', '.join(made.assets)}. {made.notice}.", file=sys.stderr)
    return 0


def mcap(
    sortie: str,
    /,
    *,
    out: Folder,
    unreviewed: Json = False,
    json: Json = False,
    station: StationFiles = USUAL,
) -> int:
    """Write what the station has of a sortie as MCAP, for Foxglove and others.

    For example:

        skywarden ground export mcap 20261121T184210Z_uav07 --out sortie.mcap

    Parameters
    ----------
    sortie
        Its id, as `skywarden ground sorties` shows it.
    out
        File to write.
    unreviewed
        Also what no person has confirmed; the recording's first message and its metadata say so.
    json
        Print one JSON object: `file` and `counts` by topic.
    """
    from ground.catalogue.sorties import SortieShelf
    from ground.recording.sortie_mcap import write_sortie_mcap

    if str(out) == "-":
        raise UsageError("a recording needs a file: give --out")
    state_dir = station.state_dir()
    part = out.with_name(out.name + ".part")
    with opened(state_dir) as (reader, book):
        one = SortieShelf(reader).named(sortie)
        try:
            counts = write_sortie_mcap(
                source_in(reader, book, state_dir), one, part, with_unreviewed=unreviewed
            )
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    note_export(state_dir, f"ground export mcap {one.item_id}{' --unreviewed' if unreviewed else ''}")
    if json:
        print(json_module.dumps({"file": str(out), "counts": counts}))
    else:
        print(f"{out}: {', '.join(f'{count} {topic}' for topic, count in counts.items())}", file=sys.stderr)
    return 0
