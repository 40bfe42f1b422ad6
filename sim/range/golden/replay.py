"""What each node says of a recording, as plain rows: pose, detect, locate, track, sighting, plot, contact."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.config import MountConfig, SigmaConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from edge.vision.pipeline import Frame, Outcome, VisionNode
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from models.catalogue import load_detector
from sim.analyze import AnalyzeOptions, HeardTelemetry, sensor_node
from sim.range.chain import LooksDetector, read_looks, steps_of
from sim.range.golden.recordings import Recording
from sim.scenario.flown.looks import LOOKS_JSONL
from sim.scenario.runner import TERRAIN_NAME
from skywarden.clock import NS_PER_S
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import Sensor
from skywarden.geometry.pose import CameraPose, NoPose
from skywarden.geometry.terrain import load_terrain
from skywarden.messages import Chip, Message, Plot, Sighting, Track
from skywarden.wire import encode

NODES = ("telemetry", "pose", "detect", "locate", "track", "sighting", "plot", "contact")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What a node said at one instant; `key`: platform, sensor and frame, or what it is about."""

    node: str
    key: str
    value: Any


def rows_of(recording: Recording, data: Path, scratch: Path) -> list[Row]:
    """Everything that the nodes say of a recording, made in the empty folder `scratch`."""
    rows: list[Row] = []
    sightings: list[Sighting] = []
    for name, flight in sorted(recording.make(data, scratch).items()):
        reader = FlightReader(flight)
        terrain = flight / TERRAIN_NAME
        options = recording.options
        if options.surface is None and terrain.exists():
            options = replace(options, surface=load_terrain(terrain))
        rows += _telemetry_rows(name, reader, recording)
        for sensor in reader.info.sensors:
            for row in _sensor_rows(name, reader, sensor, recording, options):
                rows.append(row)
                if isinstance(row.value, Sighting):
                    sightings.append(row.value)
    rows += _contact_rows(sightings)
    return [Row(node=row.node, key=row.key, value=_plain(row.value)) for row in rows]


def flight_hash(flight: Path, options: AnalyzeOptions | None = None) -> str:
    """SHA-256 over every message and every box that the chain gives for a flight."""
    digest = hashlib.sha256()
    for step in steps_of(flight, options):
        digest.update(f"{step.sensor_id} {step.frame_number} {step.time_ns}\n".encode())
        digest.update(np.ascontiguousarray(step.outcome.batch.box_px).tobytes())
        digest.update(np.ascontiguousarray(step.outcome.batch.score).tobytes())
        for message in step.outcome.messages:
            digest.update(encode(message))
    return digest.hexdigest()


def _sensor_rows(
    flight: str, reader: FlightReader, sensor: Sensor, recording: Recording, options: AnalyzeOptions
) -> Iterator[Row]:
    heard = HeardTelemetry(reader, sensor, options)
    node, frames = _frames(reader, sensor, options)
    taken = 0
    for index, (frame, looked) in enumerate(frames):
        if taken >= recording.most:
            break
        if index % recording.every:
            continue
        taken += 1
        time_ns = heard.up_to(frame.received_ns)
        pose = heard.poses.pose_at(time_ns)
        frame = replace(frame, time_ns=time_ns)
        looked()
        outcome = node.finish(node.detect(frame), pose)
        key = f"{flight}/{sensor.sensor_id}/{frame.frame_number}"
        yield Row(node="pose", key=key, value=_pose(pose))
        yield Row(node="detect", key=key, value=_detections(outcome))
        yield Row(node="locate", key=key, value=_locations(outcome))
        yield from _message_rows(flight, outcome.messages)
    for plot in node.plots():
        yield Row(node="plot", key=f"{flight}/{plot.plot_id}/end", value=_plot(plot))


def _frames(
    reader: FlightReader, sensor: Sensor, options: AnalyzeOptions
) -> tuple[VisionNode, Iterator[tuple[Frame, Any]]]:
    """The chain and its frames; each with what is to be done right before it is looked at."""
    if sensor.media:
        node = sensor_node(reader, sensor, load_detector(options.model, threads=1), options)
        return node, (
            (
                Frame(
                    frame_number=ref.frame_number, time_ns=ref.time_ns, received_ns=ref.time_ns, image=image
                ),
                _nothing,
            )
            for ref, image in reader.images(sensor.sensor_id)
        )
    detector = LooksDetector()
    node = sensor_node(reader, sensor, detector, options)
    blank = np.zeros((sensor.height_px or 1, sensor.width_px or 1, 3), np.uint8)
    found = read_looks(reader.path / LOOKS_JSONL) if (reader.path / LOOKS_JSONL).exists() else []
    return node, (
        (
            Frame(frame_number=one.frame_number, time_ns=one.time_ns, received_ns=one.time_ns, image=blank),
            lambda one=one: detector.turn_to(one),
        )
        for one in found
        if one.sensor_id == sensor.sensor_id
    )


def _nothing() -> None:
    """A picture needs no preparation."""


def _telemetry_rows(flight: str, reader: FlightReader, recording: Recording) -> Iterator[Row]:
    """The platform's own pose at equal steps, as the ground would be told."""
    node = TelemetryNode(MavlinkConfig())
    history = node.pose_buffer(mount=MountConfig(kind="fixed"), sigmas=SigmaConfig().pose())
    ids = {"platform_id": reader.info.platform_id, "sortie_id": reader.info.sortie_id}
    step_ns, told, asked_ns = round(NS_PER_S / recording.poses_hz), 0, 0
    for time_ns, raw in reader.telemetry():
        if asked_ns and time_ns > asked_ns + NS_PER_S:
            pose = history.platform_pose_at(asked_ns, **ids)
            value = _named(pose)
            value["reason"] = None if pose.reason is None else pose.reason.split(":")[0]
            yield Row(node="telemetry", key=f"{flight}/{told}", value=value)
            told, asked_ns = told + 1, asked_ns + step_ns
            if told >= recording.most or told >= 60:
                return
        asked_ns = asked_ns or time_ns + 2 * NS_PER_S
        node.handle(time_ns, raw)


def _message_rows(flight: str, messages: list[Message]) -> Iterator[Row]:
    for message in messages:
        if isinstance(message, Chip):
            value = _named(message) | {"data": len(message.data)}
            yield Row(node="sighting", key=f"{flight}/chip/{message.chip_id}", value=value)
        elif isinstance(message, Track):
            key = f"{flight}/{message.track_id}/{message.time_ns}"
            yield Row(node="track", key=key, value=_named(message))
        elif isinstance(message, Plot):
            yield Row(
                node="plot", key=f"{flight}/{message.plot_id}/{message.look_count}", value=_plot(message)
            )
        elif isinstance(message, Sighting):
            yield Row(node="sighting", key=f"{flight}/{message.sighting_id}", value=message)


def _contact_rows(sightings: list[Sighting]) -> Iterator[Row]:
    """The contacts of all sightings, in the order of their times."""
    book = ContactBook(ContactsConfig())
    for sighting in sorted(sightings, key=lambda one: (one.time_ns, one.sighting_id)):
        book.add(sighting)
    for contact in sorted(book.settle().changed, key=lambda one: one.contact_id):
        yield Row(node="contact", key=contact.contact_id, value=_named(contact))


def _pose(pose: CameraPose | NoPose) -> dict[str, Any]:
    if isinstance(pose, NoPose):
        return {"reason": pose.reason}
    return {
        "latitude_deg": pose.latitude_deg,
        "longitude_deg": pose.longitude_deg,
        "alt_hae_m": pose.alt_hae_m,
        "rotation": pose.rotation_ned_from_camera.ravel().tolist(),
        "velocity_mps": pose.velocity_ned_mps.tolist(),
        "turning_dps": pose.angular_rate_dps,
        "source": pose.source,
        "doubt": pose.doubt,
    }


def _detections(outcome: Outcome) -> list[dict[str, Any]]:
    batch = outcome.batch
    return [
        {
            "label": batch.labels[batch.label_index[index]],
            "score": float(batch.score[index]),
            "box_px": batch.box_px[index].tolist(),
        }
        for index in range(len(batch))
    ]


def _locations(outcome: Outcome) -> list[dict[str, Any]]:
    found, rows = outcome.locations, []
    for index, reason in enumerate(outcome.reasons):
        row: dict[str, Any] = {"status": reason}
        if found is not None and reason == "ok":
            row |= {
                "latitude_deg": float(found.latitude_deg[index]),
                "longitude_deg": float(found.longitude_deg[index]),
                "alt_hae_m": float(found.alt_hae_m[index]),
                "ce90_m": float(found.ce90_m[index]),
                "le90_m": float(found.le90_m[index]),
            }
        rows.append(row)
    return rows


def _plot(plot: Plot) -> dict[str, Any]:
    rings = [np.frombuffer(ring, "<i4").astype(np.float64) / 1e7 for ring in plot.rings_e7_i32]
    value: dict[str, Any] = _named(plot)
    value.pop("rings_e7_i32")
    return value | {"corners": [len(ring) // 2 for ring in rings]}


def _named(message: Any) -> dict[str, Any]:
    """The fields of a message by name, those of the structs in it too."""
    return {name: getattr(message, name) for name in message.__struct_fields__}


def _plain(value: Any) -> Any:
    """Nothing but JSON; floats cut to twelve digits, what is not finite as text."""
    if isinstance(value, msgspec.Struct):
        return _plain(_named(value))
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()[:16]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else str(value)
    return value
