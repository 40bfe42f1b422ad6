"""`skywarden sim misb`: a flight as video with MISB metadata."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from skywarden.progress import progress_bar


def misb(
    flight: Path,
    *,
    out: Path,
    sensor: str | None = None,
    model: str = "anomaly",
    detections: Annotated[bool, Parameter(negative="--no-detections")] = True,
    terrain: Path | None = None,
    sea: bool = False,
    classification: Literal["unclassified", "restricted", "confidential", "secret", "top_secret"]
    | None = None,
    country: str = "",
    exercise: bool = False,
    crf: int = 20,
    json: bool = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False,
) -> int:
    """Write a flight as H.264 with MISB ST 0601 and ST 0903 in MPEG-TS (.ts), or the packets alone (.klv).

    The pictures are looked at by the model as in `skywarden analyze`; what it found goes along as VMTI
    targets, and every packet's mission field then begins with UNREVIEWED.

    For example:

        skywarden sim misb 20180817T012345Z_uav07 --out flight.ts
        skywarden sim misb flight --out flight.klv --no-detections

    Parameters
    ----------
    flight
        The flight folder.
    out
        The new .ts or .klv file.
    sensor
        Which camera, where there are several.
    model
        A detector of the zoo, or the folder of one.
    detections
        Send along what the model found.
    terrain
        Terrain model under the flight, as for `skywarden analyze`.
    sea
        The ground is the sea's surface.
    classification
        Write the security set (ST 0102) with this word; needs --country. Without it no such set is written.
    country
        Whose classification that is, two or three letters.
    exercise
        Say EXERCISE in the mission field.
    crf
        Quality of the video, 0 to 51, less is better.
    json
        Print the result as one JSON object.
    quiet
        No progress bar.
    """
    from sim.analyze import AnalyzeOptions
    from sim.motion_imagery.export import ImageryOptions, export_imagery
    from sim.motion_imagery.metadata import SecurityMark
    from skywarden.errors import UsageError
    from skywarden.geometry.terrain import SeaSurface, Surface, load_terrain

    if not 0 <= crf <= 51:
        raise UsageError(f"--crf {crf} is not within 0 to 51")
    if terrain is not None and sea:
        raise UsageError("give one of --terrain and --sea")
    if (classification is None) != (not country):
        raise UsageError("--classification and --country go together")
    options = ImageryOptions(
        sensor_id=sensor,
        has_detections=detections,
        is_exercise=exercise,
        security=SecurityMark(classification=classification, country=country) if classification else None,
        crf=crf,
    )
    surface: Surface | None = load_terrain(terrain) if terrain else SeaSurface() if sea else None
    with progress_bar("writing", is_quiet=quiet) as report:
        made = export_imagery(
            flight, out, options, AnalyzeOptions(model=model, surface=surface), progress=report
        )
    if json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
        return 0
    sys.stdout.write(
        f"{made.path}: {made.frames} pictures, {made.packets} packets, {made.detections} targets\n"
    )
    if made.has_unreviewed:
        sys.stderr.write("UNREVIEWED: the targets in this file have not been confirmed by a person\n")
    for problem in made.problems:
        sys.stderr.write(f"{problem}\n")
    return 0
