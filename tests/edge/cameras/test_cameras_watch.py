"""The watch: what stalls, freezes, is black or changes size is told; a hovering camera is not."""

import io
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.cameras.config import CameraConfig, WatchConfig
from edge.cameras.frame import SUSPECT_FLAGS, BgrPixels, CameraFrame, Pixels
from edge.cameras.source import frames_of, make_source_here
from edge.cameras.statistics import FrameStatistics, measure
from edge.cameras.watch import CameraWatch, Condition
from skywarden.clock import SystemClock

pytestmark = pytest.mark.slow

Image = npt.NDArray[np.uint8]
S = 1_000_000_000


def statistics_of(pixels: Pixels) -> FrameStatistics:
    """What is measured of a frame with these pixels."""
    return measure(
        CameraFrame(
            sensor_id="eo", frame_number=0, time_ns=0, stamp_ns=0, received_ns=0, pts_s=None,
            time_basis="arrival", pixels=pixels,
        )
    )  # fmt: skip


class Scene:
    """A textured ground seen by a hovering camera: drift of a few pixels, sensor noise."""

    def __init__(self, *, noise: float = 1.5, width: int = 640, height: int = 360) -> None:
        self._random = np.random.default_rng(7)
        coarse = self._random.integers(40, 200, (height // 10 + 8, width // 10 + 8, 3)).astype(np.uint8)
        self._ground = cv2.resize(coarse, None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC)
        self._noise, self._width, self._height = noise, width, height

    def at(self, time_s: float) -> Image:
        """The picture at `time_s`."""
        x, y = 8 + 3 * np.sin(0.9 * time_s) + 0.3 * time_s, 8 + 2 * np.sin(0.7 * time_s)
        moved = cv2.warpAffine(
            self._ground, np.array([[1, 0, -x], [0, 1, -y]]), (self._width, self._height)
        ).astype(np.float32)
        noise = self._random.normal(0, self._noise, moved.shape[:2])[..., np.newaxis]
        return np.clip(moved + noise, 0, 255).astype(np.uint8)


def names(conditions: list[Condition]) -> list[tuple[str, str]]:
    """Name and state, in order."""
    return [(condition.name, condition.state) for condition in conditions]


def fed(
    watch: CameraWatch, images: list[Image], *, start_s: float, rate_hz: float
) -> list[tuple[float, tuple[str, ...]]]:
    """Feed images at an even rate; time and flags of each."""
    told = []
    for index, image in enumerate(images):
        at_s = start_s + index / rate_hz
        watch.received(round(at_s * S))
        told.append((at_s, watch.observe(round(at_s * S), statistics_of(BgrPixels(image)))))
    return told


def test_a_hovering_camera_raises_nothing() -> None:
    watch, scene = CameraWatch(WatchConfig(), started_ns=0), Scene(width=320, height=180)
    told = fed(watch, [scene.at(i / 10) for i in range(300)], start_s=0, rate_hz=10)
    assert watch.drain() == []
    assert {flags for _, flags in told} == {()}


@pytest.mark.parametrize("has_clock", [False, True], ids=["plain", "with a running clock"])
@pytest.mark.parametrize("rate_hz", [1.1, 5.0, 12.0])
def test_a_frozen_picture_is_flagged_within_2_s_and_told_within_10(has_clock: bool, rate_hz: float) -> None:
    watch, scene = CameraWatch(WatchConfig(), started_ns=0), Scene()
    count = round(10 * rate_hz)
    fed(watch, [scene.at(i / rate_hz) for i in range(count)], start_s=0, rate_hz=rate_hz)
    still = scene.at(10.0)
    frozen = []
    for index in range(count):
        image = still.copy()
        if has_clock:
            cv2.putText(image, f"{index:08d}", (440, 40), 0, 1.2, (255, 255, 255), 2)
        frozen.append(image)
    told = fed(watch, frozen, start_s=10.0, rate_hz=rate_hz)
    assert all("repeated" in flags for _, flags in told[1:])
    assert all("frozen_suspected" in flags for at_s, flags in told if at_s >= 12.0)
    changes = watch.drain()
    assert names(changes) == [("frozen", "failed")]
    assert changes[0].time_ns <= 20 * S
    assert changes[0].since_ns == pytest.approx(10 * S, abs=2.2 * S)
    fed(watch, [scene.at(20 + i / rate_hz) for i in range(round(7 * rate_hz))], start_s=20, rate_hz=rate_hz)
    assert names(watch.drain()) == [("frozen", "ok")]


def encoded(images: list[Image], *, bit_rate: int, group: int) -> list[av.VideoFrame]:
    """What arrives when `images` go through a camera's encoder and our decoder, 15 frames/s."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        options = {"preset": "veryfast", "tune": "zerolatency", "g": str(group), "threads": "1"}
        stream = container.add_stream("libx264", rate=15, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", bit_rate
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return list(container.decode(video=0))


@pytest.mark.slow
@pytest.mark.parametrize(("bit_rate", "group"), [(400_000, 30), (2_000_000, 8)])
def test_a_freeze_that_is_encoded_again_is_found_and_an_encoded_hover_is_not(
    bit_rate: int, group: int
) -> None:
    from edge.cameras.av_source import AvPixels, Converter

    scene, rate_hz = Scene(noise=2.0), 15
    live = [scene.at(i / rate_hz) for i in range(10 * rate_hz)]
    frozen = []
    for index in range(10 * rate_hz):
        image = live[-1].copy()
        cv2.putText(image, f"{index:08d}", (440, 40), 0, 1.2, (255, 255, 255), 2)
        frozen.append(image)
    watch, changes = CameraWatch(WatchConfig(), started_ns=0), []
    converter = Converter(keeps_upper_field=True)
    flags_of: list[tuple[str, ...]] = []
    for index, frame in enumerate(encoded(live + frozen, bit_rate=bit_rate, group=group)):
        at_ns = round(index / rate_hz * S)
        watch.received(at_ns)
        flags_of.append(watch.observe(at_ns, statistics_of(AvPixels(frame, converter))))
        changes += watch.drain()
    assert not any("frozen_suspected" in flags for flags in flags_of[: len(live)])
    assert names(changes) == [("frozen", "failed")]
    assert 10 * S < changes[0].time_ns <= 20 * S


def test_silence_is_told_once_and_its_end_too() -> None:
    watch = CameraWatch(WatchConfig(), started_ns=0)
    watch.received(1 * S)
    for tenth in range(10, 80):
        watch.tick(tenth * S // 10)
    changes = watch.drain()
    assert names(changes) == [("stalled", "failed")]
    assert changes[0].time_ns <= 6 * S
    assert changes[0].since_ns == 1 * S
    assert "cable" in changes[0].text
    watch.received(8 * S)
    assert names(watch.drain()) == [("stalled", "ok")]


def test_black_is_flagged_at_once_and_night_is_only_dark() -> None:
    random = np.random.default_rng(3)
    watch = CameraWatch(WatchConfig(), started_ns=0)
    black = [np.zeros((360, 640, 3), np.uint8)] * 20
    told = fed(watch, black, start_s=0, rate_hz=10)
    assert all("black" in flags and "frozen_suspected" not in flags for _, flags in told)
    assert names(watch.drain()) == [("black", "failed")]
    night = []
    for _ in range(30):
        image = np.clip(random.normal(8, 4, (360, 640, 3)), 0, 255).astype(np.uint8)
        image[100:104, 200:206] = 255
        night.append(image)
    told = fed(watch, night, start_s=2, rate_hz=10)
    assert {flags for _, flags in told} == {("dark",)}
    assert names(watch.drain()) == [("black", "ok"), ("dark", "degraded")]


def test_a_white_picture_is_overexposed() -> None:
    watch = CameraWatch(WatchConfig(), started_ns=0)
    told = fed(watch, [np.full((360, 640, 3), 255, np.uint8)] * 15, start_s=0, rate_hz=10)
    assert told[0][1] == ("overexposed",)
    assert names(watch.drain()) == [("overexposed", "degraded")]


def test_another_size_than_the_first_is_told_until_it_comes_back() -> None:
    watch, wide, small = CameraWatch(WatchConfig(), started_ns=0), Scene(), Scene(width=320, height=180)
    fed(watch, [wide.at(0)], start_s=0, rate_hz=5)
    told = fed(watch, [small.at(1)], start_s=1, rate_hz=5)
    assert told[0][1] == ("resolution_changed",)
    changes = watch.drain()
    assert names(changes) == [("resolution_changed", "degraded")]
    assert "320x180 instead of 640x360" in changes[0].text
    fed(watch, [wide.at(2)], start_s=2, rate_hz=5)
    assert names(watch.drain()) == [("resolution_changed", "ok")]


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "recordings/gopro-karma/karma.mp4",
        "video/sds_northsea_z30_2fps_720p.mp4",
        "recordings/aphill/aphill_klv_10s.ts",
        "recordings/cuav-2018",
    ],
)
def test_real_flights_raise_no_condition_and_no_frame_is_suspect(real_data: Path, name: str) -> None:
    config = CameraConfig(url=str(real_data / name), pacing="none")
    watch: CameraWatch | None = None
    for frame in frames_of(make_source_here(config, SystemClock())):
        watch = watch or CameraWatch(WatchConfig(), started_ns=frame.time_ns)
        watch.received(frame.time_ns)
        flags = watch.observe(frame.time_ns, measure(frame))
        assert not SUSPECT_FLAGS.intersection(flags), frame.frame_number
    assert watch is not None
    assert watch.drain() == []
