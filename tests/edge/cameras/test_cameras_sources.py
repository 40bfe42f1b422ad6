"""Sources on real files, real sockets and real child processes."""

import io
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
import pytest

from edge.cameras.address import parse_address, redacted, runs_in_process
from edge.cameras.av_source import AvSource, upper_field_only
from edge.cameras.config import CameraConfig, GainConfig
from edge.cameras.exif import read_header
from edge.cameras.frame import CameraFrame
from edge.cameras.gain import GainControl
from edge.cameras.gst_source import GstSource, RawLayout
from edge.cameras.source import frames_of, make_source, make_source_here
from edge.cameras.v4l2_source import pixels_of_buffer
from edge.environment import clean_environment
from skywarden.clock import SystemClock
from skywarden.errors import CameraError, ConfigError, InputError
from tests.edge.camera_servers import RtspServer, TsSender, moving_image

pytestmark = pytest.mark.slow

CLOCK = SystemClock()


def frames(url: Path | str, **options: Any) -> list[CameraFrame]:
    """All frames of a finite source, in this process."""
    config = CameraConfig(url=str(url), pacing="none", **options)
    return list(frames_of(make_source_here(config, CLOCK)))


@pytest.fixture
def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What an address means


@pytest.mark.parametrize(
    ("url", "kind", "target"),
    [
        ("rtsp://10.0.0.2:554/live", "rtsp", "rtsp://10.0.0.2:554/live"),
        ("udp://0.0.0.0:5600", "mpegts", "udp://0.0.0.0:5600"),
        ("udp://@:5600", "mpegts", "udp://@:5600"),
        ("/dev/video2", "v4l2", "2"),
        ("v4l2:0", "v4l2", "0"),
        ("gst:videotestsrc ! queue", "gst", "videotestsrc ! queue"),
        ("flight/eo.ts", "file", "flight/eo.ts"),
        ("file:///data/eo.mp4", "file", "/data/eo.mp4"),
    ],
)
def test_an_address_says_its_kind(url: str, kind: str, target: str) -> None:
    address = parse_address(url)
    assert (address.kind, address.target) == (kind, target)


@pytest.mark.parametrize("url", ["http://a/b", "rtsp://", "udp://host", "gst:", "v4l2:x", "rtsp://h:99999/"])
def test_an_address_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(url)


def test_passwords_never_show() -> None:
    assert redacted("rtsp://me:pass@cam/x failed") == "rtsp://***@cam/x failed"
    with pytest.raises(CameraError) as caught:
        make_source_here(CameraConfig(url="rtsp://me:pass@127.0.0.1:9/x"), CLOCK).open()
    assert "pass" not in str(caught.value)


def test_network_and_usb_cameras_get_a_process_of_their_own() -> None:
    assert runs_in_process(CameraConfig(url="rtsp://cam/x"))
    assert runs_in_process(CameraConfig(url="/dev/video0"))
    assert not runs_in_process(CameraConfig(url="gst:videotestsrc"))
    assert not runs_in_process(CameraConfig(url="flight.ts"))


def test_a_child_gets_no_current_folder_in_its_library_path() -> None:
    environment = clean_environment(
        {"LD_LIBRARY_PATH": "/opt/lib:", "QT_QPA_PLATFORM_PLUGIN_PATH": "/x/cv2/qt", "HOME": "/h"}
    )
    assert environment == {"LD_LIBRARY_PATH": "/opt/lib", "HOME": "/h"}


# Real recordings


@pytest.mark.real_data
def test_the_cuav_folder_gives_18_frames_at_the_times_of_their_names(real_data: Path) -> None:
    found = frames(real_data / "recordings/cuav-2018")
    assert len(found) == 18
    assert found[0].time_ns == 1_533_430_844_800_000_000
    assert found[-1].time_ns == 1_533_430_859_580_000_000
    assert [frame.time_ns for frame in found] == sorted(frame.time_ns for frame in found)
    assert {frame.time_basis for frame in found} == {"name"}
    assert {frame.image.shape for frame in found} == {(1232, 1640, 3)}
    lagged = frames(real_data / "recordings/cuav-2018", frame_lag_s=0.2)
    assert lagged[0].time_ns == found[0].time_ns - 200_000_000
    assert lagged[0].stamp_ns == found[0].stamp_ns


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "count", "basis"),
    [
        ("recordings/aphill/aphill_klv_10s.ts", 10, "opened"),
        ("recordings/gopro-karma/karma.mp4", 362, "container"),
        ("video/sds_northsea_z30_2fps_720p.mp4", 100, "opened"),
        ("klv/h264_klv.ts", 30, "opened"),
        ("klv/h265_klv.ts", 30, "opened"),
        ("klv/h264_audio.ts", 29, "opened"),
    ],
)
def test_every_frame_of_a_real_video_is_decoded_and_none_is_black(
    real_data: Path, name: str, count: int, basis: str
) -> None:
    found = frames(real_data / name)
    assert len(found) == count
    assert not any(frame.is_converted for frame in found)
    assert min(float(frame.pixels.luma().mean()) for frame in found) > 40
    assert min(float(frame.image.mean()) for frame in found[::20]) > 40
    assert {frame.time_basis for frame in found} == {basis}
    steps = np.diff([frame.time_ns for frame in found])
    assert steps.min() > 0


@pytest.mark.real_data
def test_a_start_time_overrides_what_the_file_says(real_data: Path) -> None:
    path = real_data / "recordings/gopro-karma/karma.mp4"
    assert frames(path)[0].time_ns == 1_492_457_277_000_000_000
    found = frames(path, start_time="2017-04-17T19:27:58.5+00:00")
    assert found[0].time_ns == 1_492_457_278_500_000_000
    assert found[30].time_ns - found[0].time_ns == pytest.approx(1_001_000_000, abs=10_000)


# Interlaced video


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_interlaced_video_is_not_black_and_shows_one_instant(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "interlaced.ts"
    extra = ["-x264-params", "interlaced=1"] if codec == "libx264" else ["-flags", "+ilme+ildct"]
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=360x288:rate=50", "-t", "1",
         "-vf", "tinterlace=4,fieldorder=tff", "-c:v", codec, *extra, "-b:v", "3M", str(path)],
        check=True, env=clean_environment(),
    )  # fmt: skip
    kept, woven = frames(path), frames(path, interlaced="weave")
    assert len(kept) == len(woven) == 25
    assert min(float(frame.image.mean()) for frame in kept) > 60
    assert not np.array_equal(kept[12].image, woven[12].image)
    np.testing.assert_array_equal(kept[12].image[0::2], woven[12].image[0::2])


def test_keeping_the_upper_field_moves_no_line() -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[:, None, None], 3, axis=2)
    np.testing.assert_array_equal(upper_field_only(ramp)[:-1], ramp[:-1])
    assert upper_field_only(ramp[:7]).shape == (7, 1, 3)


# Hostile and damaged files


def test_a_playlist_cannot_make_us_fetch_other_files(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile '/etc/hostname'\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    for name in ("list.txt", "list.m3u8"):
        with pytest.raises(CameraError, match="cannot be opened"):
            frames(tmp_path / name)


def test_a_picture_over_the_limit_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [moving_image(i, 320, 240) for i in range(3)])
    with pytest.raises(CameraError, match="320x240 is over the limit of 1000 pixels"):
        frames(tmp_path / "a.mp4", max_pixels=1000)


def test_a_damaged_stream_is_read_to_its_end(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", [moving_image(i, 320, 240) for i in range(60)])
    data = bytearray((tmp_path / "a.ts").read_bytes())
    random = np.random.default_rng(5)
    for at in random.integers(5_000, len(data), 200):
        data[at] ^= 0xFF
    (tmp_path / "b.ts").write_bytes(data[: len(data) - 777])
    found = frames(tmp_path / "b.ts")
    assert 30 <= len(found) <= 60


def test_a_stream_that_appears_in_the_middle_is_passed_over() -> None:
    """PyAV stumbles over it, for certain where it cannot seek."""
    data = _mpegts(120, sounds=0) + _mpegts(10, sounds=12)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = threading.Thread(target=_send, args=(server, data))
        sender.start()
        config = CameraConfig(url=f"tcp://127.0.0.1:{server.getsockname()[1]}", read_timeout_s=5.0)
        with pytest.raises(CameraError, match=r"the stream ended after [1-9]"):
            list(frames_of(make_source_here(config, CLOCK)))
        sender.join(5.0)


def _send(server: socket.socket, data: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(data)


def _mpegts(count: int, *, sounds: int) -> bytes:
    """Noise, so that what opens it does not look as far as where the sounds begin."""
    written = io.BytesIO()
    with av.open(written, "w", format="mpegts") as container:
        video = container.add_stream("h264", rate=10)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency"}
        silent = [container.add_stream("mp2", rate=48_000) for _ in range(sounds)]
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 255, (240, 320, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
            for sound in silent:
                quiet = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1_152), np.int16), format="s16")
                quiet.sample_rate, quiet.pts = 48_000, number * 1_152
                container.mux(sound.encode(quiet))
        for stream in (video, *silent):
            container.mux(stream.encode(None))
    return written.getvalue()


def test_what_is_no_video_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(os.urandom(50_000))
    for url in (tmp_path / "a.mp4", tmp_path / "missing.mp4"):
        with pytest.raises(CameraError, match="cannot be opened"):
            frames(url)


# Folders of images


def test_a_16_bit_thermal_folder_keeps_counts_and_states_its_gain(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:120, 0:160]
    for index in range(6):
        counts = (30_000 + 10 * columns + 5 * rows + 300 * index).astype(np.uint16)
        counts[50:54, 60:64] = 36_000
        ending = "png" if index % 2 else "tiff"
        cv2.imwrite(str(tmp_path / f"{1_533_430_844_000 + 100 * index}.{ending}"), counts)
    found = frames(tmp_path, kind="thermal")
    assert len(found) == 6
    assert all(frame.raw16 is not None and frame.raw16[52, 62] == 36_000 for frame in found)
    gains = [frame.gain for frame in found]
    assert all(gain is not None and gain.high_percentile == 99.5 for gain in gains)
    lows = [gain.low_count for gain in gains if gain is not None]
    assert 0 < lows[1] - lows[0] < 100  # 0.1 s of a 2 s time constant, not the whole 300 counts
    assert found[0].image.shape == (120, 160, 3)
    assert found[0].image[52, 62].tolist() == [255, 255, 255]
    assert int(found[0].image.min()) == 0


def test_an_even_scene_is_not_stretched_into_objects() -> None:
    sea = np.random.default_rng(1).normal(30_000, 3, (120, 160)).astype(np.uint16)
    grey = GainControl(GainConfig()).apply(sea, 0).luma()
    assert float(grey.std()) < 15
    inverted = GainControl(GainConfig(is_inverted=True)).apply(sea, 0).luma()
    assert int(inverted[0, 0]) == 255 - int(grey[0, 0])


@pytest.mark.parametrize("follow", [False, True])
def test_an_image_is_not_turned_by_what_its_exif_says(tmp_path: Path, follow: bool) -> None:
    """A calibration is of the sensor as it lies; a camera that writes "rotated" must not turn it."""
    image = np.zeros((48, 96, 3), np.uint8)
    image[:24, :48] = 255
    data = cv2.imencode(".jpg", image)[1].tobytes()
    orientation = b"Exif\0\0MM\0*" + bytes.fromhex("00000008 0001 0112 0003 00000001 00060000 00000000")
    app1 = b"\xff\xe1" + (len(orientation) + 2).to_bytes(2, "big") + orientation
    turned = data[:2] + app1 + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (96, 48, 3)
    (tmp_path / "1533430844000.jpg").write_bytes(turned)
    config = CameraConfig(url=str(tmp_path), pacing="none", follow=follow, include_existing=True)
    source = make_source_here(config, CLOCK)
    source.open()
    frame = source.read(5.0)
    source.close()
    assert frame is not None
    assert frame.image.shape == (48, 96, 3)
    assert frame.image[:20, :44].min() > 200
    assert frame.image[28:].max() < 50


def test_images_without_a_time_are_refused_with_what_to_do(tmp_path: Path) -> None:
    for name in ("IMG_1.jpg", "2018080501004480Z.jpg"):
        cv2.imwrite(str(tmp_path / name), moving_image(0, 64, 48))
    with pytest.raises(CameraError, match="1 of 2 images tell no time"):
        frames(tmp_path)
    listing = tmp_path / "times.csv"
    listing.write_text("file,time_ms\nIMG_1.jpg,1533430845800\n")
    found = frames(tmp_path, listing=str(listing))
    assert [(frame.name, frame.time_basis) for frame in found] == [
        ("2018080501004480Z.jpg", "name"),
        ("IMG_1.jpg", "listing"),
    ]


def test_a_damaged_image_is_counted_and_passed_over(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{1_533_430_844_000 + index}.jpg"), moving_image(index, 64, 48))
    (tmp_path / "1533430844001.jpg").write_bytes(b"\xff\xd8" + os.urandom(500))
    source = make_source_here(CameraConfig(url=str(tmp_path), pacing="none"), CLOCK)
    assert len(list(frames_of(source))) == 2
    assert source.damaged_count == 1


def test_an_image_header_that_promises_too_much_is_not_decoded(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1533430844000.png"), moving_image(0, 640, 480))
    source = make_source_here(CameraConfig(url=str(tmp_path), pacing="none", max_pixels=1000), CLOCK)
    assert list(frames_of(source)) == []
    assert source.damaged_count == 1


def test_sizes_are_read_from_real_encoders_headers() -> None:
    for ending in (".jpg", ".png", ".tiff"):
        done, data = cv2.imencode(ending, moving_image(0, 322, 241))
        header = read_header(data.tobytes())
        assert done
        assert header is not None
        assert (header.width_px, header.height_px) == (322, 241)


def test_a_live_folder_gives_whole_images_as_they_appear(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1533430843000.jpg"), moving_image(0, 64, 48))
    source = make_source_here(CameraConfig(url=str(tmp_path), follow=True), CLOCK)
    source.open()
    assert source.read(0.1) is None
    data = cv2.imencode(".jpg", moving_image(1, 64, 48))[1].tobytes()
    half = tmp_path / "1533430844000.jpg"
    half.write_bytes(data[: len(data) // 2])
    assert source.read(0.3) is None
    half.write_bytes(data)
    frame = source.read(2.0)
    assert frame is not None
    assert (frame.name, frame.time_ns) == ("1533430844000.jpg", 1_533_430_844_000_000_000)
    (tmp_path / "1533430845000.part").write_bytes(data)
    assert source.read(0.1) is None
    (tmp_path / "1533430845000.part").rename(tmp_path / "1533430845000.jpg")
    frame = source.read(2.0)
    assert frame is not None
    assert frame.name == "1533430845000.jpg"
    assert not source.is_finished
    source.close()


# USB buffers (no device here: what the driver hands over)


def test_usb_buffers_become_pictures() -> None:
    image, gain = moving_image(3, 64, 48), GainControl(GainConfig())
    options: dict[str, Any] = {"max_pixels": 10_000, "gain": gain, "stamp_ns": 0}
    jpeg = pixels_of_buffer(cv2.imencode(".jpg", image)[1].reshape(1, -1), "MJPG", **options)
    assert (jpeg.width_px, jpeg.height_px, jpeg.is_converted) == (64, 48, False)
    assert float(np.abs(jpeg.bgr().astype(int) - image).mean()) < 8
    yuyv = pixels_of_buffer(np.full((48, 64, 2), 128, np.uint8), "YUYV", **options)
    assert yuyv.bgr().shape == (48, 64, 3)
    assert yuyv.luma().shape == (48, 64)
    thermal = pixels_of_buffer(np.full((48, 64), 30_000, np.uint16), "Y16 ", **options)
    counts = thermal.raw16()
    assert counts is not None
    assert int(counts[0, 0]) == 30_000
    for bad in (np.zeros((1, 50), np.uint8), np.zeros((480, 640, 3), np.uint8)):
        with pytest.raises(InputError):
            pixels_of_buffer(bad, "MJPG", **options)


def test_a_missing_usb_camera_is_told_by_its_process() -> None:
    source = make_source(CameraConfig(url="/dev/video99"), CLOCK)
    with pytest.raises(CameraError, match="/dev/video99: cannot be opened"):
        source.open()
    source.close()


# GStreamer


def read_until(source: GstSource | AvSource, limit: int = 40) -> CameraFrame:
    """The next frame, or a failure after 10 s."""
    for _ in range(limit):
        frame = source.read(0.25)
        if frame is not None:
            return frame
    raise AssertionError("no frame came")


@pytest.mark.parametrize("raw_format", ["I420", "BGR", "GRAY8", "GRAY16_LE"])
@pytest.mark.parametrize(("width", "height"), [(320, 240), (333, 241)])
def test_a_gstreamer_child_gives_the_picture_in_every_layout(
    raw_format: Literal["I420", "BGR", "GRAY8", "GRAY16_LE"], width: int, height: int
) -> None:
    config = CameraConfig(
        url="gst:videotestsrc pattern=smpte100 is-live=true", width_px=width, height_px=height,
        gst_format=raw_format,
    )  # fmt: skip
    source = make_source_here(config, CLOCK)
    assert isinstance(source, GstSource)
    source.open()
    first, second = read_until(source), read_until(source)
    source.close()
    assert (second.frame_number, first.frame_number) == (1, 0)
    assert first.image.shape == (height, width, 3)
    assert (first.raw16 is not None) == (raw_format == "GRAY16_LE")
    left, right = first.image[height // 2, 5].astype(int), first.image[height // 2, width - 5].astype(int)
    assert left.min() > 150  # white bar at the left, blue at the right
    if raw_format in ("I420", "BGR"):
        assert right[0] > 150
        assert right[2] < 60


def test_a_pipeline_that_cannot_work_says_why() -> None:
    config = CameraConfig(url="gst:nosuchelement", width_px=320, height_px=240)
    source = make_source_here(config, CLOCK)
    assert isinstance(source, GstSource)
    source.open()
    with pytest.raises(CameraError, match="nosuchelement"):
        read_until(source)
    source.close()
    with pytest.raises(ConfigError, match="width_px"):
        make_source_here(CameraConfig(url="gst:videotestsrc"), CLOCK)


def test_i420_frames_with_odd_sizes_have_the_length_gstreamer_gives() -> None:
    assert RawLayout(format="I420", width_px=320, height_px=240).frame_bytes == 320 * 240 * 3 // 2
    assert RawLayout(format="I420", width_px=333, height_px=241).frame_bytes == 336 * 242 + 2 * 168 * 121


# Streams over real sockets


@pytest.fixture
def ended() -> Iterator[Callable[[TsSender | RtspServer], None]]:
    servers: list[TsSender | RtspServer] = []
    yield servers.append
    for server in servers:
        server.close()


def test_rtsp_is_read_over_tcp(ended: Callable[[RtspServer], None]) -> None:
    server = RtspServer()
    ended(server)
    source = make_source_here(CameraConfig(url=server.url), CLOCK)
    source.open()
    found = [source.read(1.0) for _ in range(10)]
    source.close()
    images = [frame for frame in found if frame is not None]
    assert len(images) == 10
    assert images[0].image.shape == (240, 320, 3)
    assert all(abs(frame.time_ns - frame.received_ns) < 2_000_000_000 for frame in images)
    steps = np.diff([frame.time_ns for frame in images[4:]])
    assert steps.min() > 0


def test_mpeg_ts_over_udp_is_read_by_a_process_of_its_own(
    ended: Callable[[TsSender], None], free_udp_port: int
) -> None:
    ended(TsSender(udp_port=free_udp_port))
    source = make_source(CameraConfig(url=f"udp://127.0.0.1:{free_udp_port}"), CLOCK)
    source.open()
    found = [frame for frame in (source.read(2.0) for _ in range(5)) if frame is not None]
    source.close()
    assert len(found) == 5
    assert found[0].image.shape == (240, 320, 3)
    assert float(found[-1].image.std()) > 20


def test_a_camera_process_ends_with_its_owner() -> None:
    script = (
        "import sys\n"
        "from edge.cameras.child_source import ChildSource\n"
        "from edge.cameras.config import CameraConfig\n"
        "source = ChildSource(CameraConfig(url='/dev/video99'))\n"
        "try:\n    source.open()\nexcept Exception:\n    pass\n"
        "print(source.process_id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=clean_environment(),
    )  # fmt: skip
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    descriptor = os.pidfd_open(child)
    owner.kill()
    owner.communicate()
    ready, _, _ = select.select([descriptor], [], [], 5.0)
    os.close(descriptor)
    assert ready, "the camera's process outlived its owner"


def write_video(path: Path, images: list[np.ndarray]) -> None:
    """H.264 at 25 frames/s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "threads": "1"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
