"""The camera section of an edge's file: where frames come from, what their times mean, which limits hold."""

from typing import Annotated, Literal

from msgspec import Meta

from skywarden.config import Config
from skywarden.messages import Id
from skywarden.thermal import HIGH_PERCENTILE, LOW_PERCENTILE, MIN_SPAN_COUNTS

Seconds = Annotated[float, Meta(ge=0.0, le=3600.0)]
Percent = Annotated[float, Meta(ge=0.0, le=100.0)]
Level = Annotated[float, Meta(ge=0.0, le=255.0)]


class GainConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How 16-bit thermal counts become 8-bit grey: linear between two percentiles that move smoothly.

    Attributes:
        low_percentile: counts at or below this percentile of the frame become 0.
        high_percentile: counts at or above this percentile of the frame become 255.
        smoothing_s: time constant with which the two limits follow the scene; 0 follows every frame.
        min_span_counts: the limits never come closer than this, so that noise of an even scene (open sea)
            is not stretched into objects.
        is_inverted: true shows warm dark ("black hot").
    """

    low_percentile: Percent = LOW_PERCENTILE
    high_percentile: Percent = HIGH_PERCENTILE
    smoothing_s: Seconds = 2.0
    min_span_counts: Annotated[int, Meta(ge=1, le=65_535)] = int(MIN_SPAN_COUNTS)
    is_inverted: bool = False


class WatchConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a camera's pictures count as faulty.

    Attributes:
        stall_after_s: no frame for so long is a stall; the source is then opened again. Raise it for a folder
            that gets a picture every few seconds.
        frozen_after_s: a picture that stands still for so long is frozen. Thermal cameras stand still for up
            to 2 s while their shutter calibrates, so stay above that.
        frozen_share: share of the picture (tiles with any texture or brightness) that must stand still; the
            rest may be a running clock or other overlay.
        still_level: mean grey level change per tile at or below which the tile stands still. Sensor noise
            that survived the encoder lies above it.
        still_contrast_share: a change up to this share of the tile's own contrast also counts as still: an
            encoder that runs short of bits redraws texture differently each time.
        black_after_s: a black picture for so long is reported; its frames are flagged from the first on.
        black_level: pictures whose tiles stay this near to black (0, or 16 in video range) are dark, and
            black when they have no noise either.
        clipped_share: share of pixels at full white from which the picture counts as overexposed.
    """

    stall_after_s: Annotated[float, Meta(ge=0.2, le=3600.0)] = 3.0
    frozen_after_s: Annotated[float, Meta(ge=1.0, le=60.0)] = 5.0
    frozen_share: Annotated[float, Meta(ge=0.5, le=1.0)] = 0.65
    still_level: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.35
    still_contrast_share: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.03
    black_after_s: Seconds = 1.0
    black_level: Level = 14.0
    clipped_share: Annotated[float, Meta(ge=0.05, le=1.0)] = 0.6


class CameraConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera.

    Attributes:
        sensor_id: name of the sensor in every message, such as "eo" or "thermal".
        url: `rtsp://...`, `udp://HOST:PORT` or `tcp://HOST:PORT` (MPEG-TS), a video file, a folder of images,
            `/dev/videoN` or `v4l2:N`, or `gst:PIPELINE` (GStreamer elements up to, not with, the sink).
        kind: "eo" or "thermal".
        gain: gain control for 16-bit pictures.
        watch: when pictures count as faulty.
        frame_lag_s: by how much the source's own time stamps are late against the telemetry's clock; taken
            off every frame's time. Measured per installation.
        latency_s: live video only: time from exposure to arrival here, taken off the arrival time.
        start_time: RFC 3339 time with zone of a video file's first frame; overrides what the file says.
        listing: CSV or JSON file with the times of a folder's images; empty: times come from the names or
            from EXIF.
        exif_utc_offset: offset such as "+02:00" of EXIF times that name none; empty: such times are refused.
        follow: the folder is live, new images appear in it.
        include_existing: with `follow`, also deliver the images that are there already.
        pacing: video files and finished folders: "realtime" delivers at the recorded pace, "none" as fast as
            asked for.
        isolation: where decoding runs: "process" survives hangs and crashes of native decoders, "thread"
            saves a process; "auto" takes a process for network and USB cameras.
        width_px, height_px, fps: asked from a USB camera; for `gst:` the size is required.
        fourcc: pixel format asked from a USB camera, such as "MJPG"; empty leaves the driver's choice.
        gst_format: raw format that leaves the GStreamer pipeline.
        rtsp_transport: "tcp" or "udp"; UDP loses packets on a poor link and shows it in the picture.
        decode_threads: threads of the video decoder; 1 costs the least CPU per frame and the least delay.
        interlaced: "upper_field" keeps the lines of one instant and fills the others from them; "weave" keeps
            both fields, which tears whatever moves.
        open_timeout_s: opening must succeed within this time.
        read_timeout_s: native reads give up after this time.
        reopen_min_s, reopen_max_s: first and largest wait between attempts to open again.
        max_pixels: larger pictures are refused.
        max_image_bytes: larger image files are refused.
    """

    sensor_id: Id = "eo"
    url: Annotated[str, Meta(min_length=1, max_length=4096)]
    kind: Literal["eo", "thermal"] = "eo"
    gain: GainConfig = GainConfig()
    watch: WatchConfig = WatchConfig()
    frame_lag_s: Annotated[float, Meta(ge=-10.0, le=10.0)] = 0.0
    latency_s: Annotated[float, Meta(ge=0.0, le=30.0)] = 0.0
    start_time: Annotated[str, Meta(max_length=64)] = ""
    listing: Annotated[str, Meta(max_length=4096)] = ""
    exif_utc_offset: Annotated[str, Meta(pattern=r"^([+-]\d\d:\d\d|Z)?$")] = ""
    follow: bool = False
    include_existing: bool = False
    pacing: Literal["realtime", "none"] = "realtime"
    isolation: Literal["auto", "process", "thread"] = "auto"
    width_px: Annotated[int, Meta(ge=16, le=16_384)] | None = None
    height_px: Annotated[int, Meta(ge=16, le=16_384)] | None = None
    fps: Annotated[float, Meta(gt=0.0, le=1000.0)] | None = None
    fourcc: Annotated[str, Meta(pattern=r"^([A-Za-z0-9 ]{4})?$")] = ""
    gst_format: Literal["I420", "BGR", "GRAY8", "GRAY16_LE"] = "I420"
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    decode_threads: Annotated[int, Meta(ge=1, le=16)] = 1
    interlaced: Literal["upper_field", "weave"] = "upper_field"
    open_timeout_s: Annotated[float, Meta(ge=0.5, le=60.0)] = 8.0
    read_timeout_s: Annotated[float, Meta(ge=0.5, le=60.0)] = 4.0
    reopen_min_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 0.5
    reopen_max_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 5.0
    max_pixels: Annotated[int, Meta(ge=256, le=268_435_456)] = 64_000_000
    max_image_bytes: Annotated[int, Meta(ge=1024, le=1_073_741_824)] = 256_000_000
