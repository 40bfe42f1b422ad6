"""One message of every kind with every field filled: for goldens, round trips and the reference pages."""

import numpy as np

from skywarden import messages as m

TIME_NS = 1_533_430_844_800_000_000
IDS = {"platform_id": "uav07", "sortie_id": "20180805T010044Z_uav07", "sensor_id": "eo"}

POSITION = m.Position(
    latitude_deg=-35.363026,
    longitude_deg=149.164328,
    alt_hae_m=602.5,
    covariance_enu_m2=(9.0, 0.5, 0.0, 4.0, 0.0, 2.25),
    ce90_m=5.6,
    le90_m=2.5,
    surface="terrain",
)
BEARING = m.Bearing(azimuth_deg=271.5, elevation_deg=-0.4, sigma_deg=2.1)
SIGHTING = m.Sighting(
    sighting_id="20180805T010044Z_uav07.eo.t1.f12",
    track_id="20180805T010044Z_uav07.eo.t1",
    **IDS,
    frame_number=12,
    time_ns=TIME_NS,
    label="anomaly",
    score=0.75,
    model_id="anomaly-0123456789ab",
    box_px=(670.0, 32.0, 684.0, 46.0),
    position=POSITION,
    bearing=None,
    no_position_reason=None,
    slant_range_m=101.5,
    platform_position=(-35.3631, 149.1642, 702.0),
    size_m=(1.1, 1.1),
)
EVERY = {
    "sighting": SIGHTING,
    "receipt": m.TaskingReceipt(
        tasking_id="task-1", platform_id="uav07", time_ns=TIME_NS, state="accepted", text="on its way"
    ),
    "health": m.Health(
        platform_id="uav07",
        component="camera.eo",
        condition="frozen",
        state="degraded",
        time_ns=TIME_NS,
        since_ns=TIME_NS - 5_000_000_000,
        text="the picture has not changed for 5 s",
        values={"fps": 29.5},
    ),
    "chip": m.Chip(
        chip_id="20180805T010044Z_uav07.eo.t1.f12.chip",
        sighting_id=SIGHTING.sighting_id,
        platform_id="uav07",
        time_ns=TIME_NS,
        media_type="image/jpeg",
        width_px=96,
        height_px=96,
        box_in_chip_px=(41.0, 41.0, 55.0, 55.0),
        data=b"\xff\xd8\xff\xd9",
    ),
    "pose": m.PlatformPose(
        platform_id="uav07",
        sortie_id=IDS["sortie_id"],
        time_ns=TIME_NS,
        received_ns=TIME_NS + 50_000_000,
        latitude_deg=-35.3631,
        longitude_deg=149.1642,
        alt_hae_m=702.0,
        alt_msl_m=682.5,
        alt_rel_m=100.0,
        heading_deg=87.5,
        course_deg=88.0,
        speed_mps=14.5,
        climb_mps=0.25,
        q_ned_body=(1.0, 0.0, 0.0, 0.0),
    ),
    "track": m.Track(
        track_id=SIGHTING.track_id,
        **IDS,
        time_ns=TIME_NS,
        first_ns=TIME_NS - 2_000_000_000,
        status="confirmed",
        label="vessel",
        score=0.9,
        look_count=7,
        position=POSITION,
        course_deg=45.0,
        speed_mps=6.5,
        velocity_covariance_en_m2ps2=(0.25, 0.0, 0.25),
    ),
    "frame": m.FrameInfo(
        **IDS,
        frame_number=12,
        time_ns=TIME_NS,
        received_ns=TIME_NS + 80_000_000,
        width_px=1640,
        height_px=1232,
        footprint=((-35.36, 149.16), (-35.36, 149.17), (-35.37, 149.17), (-35.37, 149.16)),
        frame_centre=(-35.365, 149.165),
    ),
    "gimbal": m.GimbalPose(
        platform_id="uav07",
        sensor_id="eo",
        time_ns=TIME_NS,
        q_ned_gimbal=(0.5, 0.5, -0.5, 0.5),
        source="gimbal_device",
    ),
    "detections": m.Detections(
        **IDS,
        frame_number=12,
        time_ns=TIME_NS,
        model_id="anomaly-0123456789ab",
        labels=("anomaly", "vessel"),
        box_px_f32=np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype="<f4").tobytes(),
        score_f32=np.array([0.75, 0.5], dtype="<f4").tobytes(),
        label_index_u8=bytes([0, 1]),
    ),
    "gap": m.Gap(
        platform_id="uav07",
        boot_id="0" * 32,
        time_ns=TIME_NS,
        reason="outbox_full",
        counts={"chip": 3},
        ranges=((7, 8, bytes(range(32))), (11, 11, bytes(range(32, 64)))),
    ),
    "plot": m.Plot(
        plot_id="20180805T010044Z_uav07.eo.p1",
        **IDS,
        time_ns=TIME_NS,
        first_ns=TIME_NS - 8_000_000_000,
        label="plot",
        score=0.75,
        look_count=5,
        model_id="parcel-0123456789ab",
        rings_e7_i32=(
            np.array(
                [
                    [-353632000, 1491641000],
                    [-353632000, 1491646000],
                    [-353628000, 1491646000],
                    [-353628000, 1491641000],
                ],
                dtype="<i4",
            ).tobytes(),
            np.array(
                [[-353631000, 1491642000], [-353630000, 1491642000], [-353630000, 1491643000]], dtype="<i4"
            ).tobytes(),
        ),
        is_complete=True,
        position=POSITION,
        area_m2=(1958.0, 1901.5, 2016.25),
        surface_area_m2=(2003.5, 1940.0, 2069.0),
        slope_deg=12.25,
    ),
    "ack": m.Ack(platform_id="uav07", boot_id="0" * 32, contiguous_seq=41, missing=((43, 44),)),
    "tasking": m.Tasking(
        tasking_id="task-1",
        platform_id="uav07",
        time_ns=TIME_NS,
        expires_ns=TIME_NS + 60_000_000_000,
        kind="full_resolution",
        sighting_id=SIGHTING.sighting_id,
    ),
}
