"""A small scenario for tests of the range: boats at anchor where the geoid lies deep.

One camera swings and tells it in the vehicle's frame, one is bolted to an aircraft in a steep turn.
"""

_BOATS = "\n".join(
    f"""
[[vessels]]
id = "boat-{number}"
kind = "fishing"
at = [{x}.0, {y}.0]
heading_deg = {17 * number % 360}.0
"""
    for number, (x, y) in enumerate(
        (x, y) for x in (-240, -160, -80, 0, 80, 160, 240) for y in (-420, -350, -280, -210)
    )
)

_ERRORS = """
[platforms.errors]
horizontal_m = 0.3
vertical_m = 0.4
tilt_bias_deg = 0.05
heading_bias_deg = 0.1
attitude_noise_deg = 0.02
gimbal_bias_deg = 0.05
gimbal_noise_deg = 0.02
boresight_deg = 0.05
surface_m = 0.3
"""

YARD = f"""
name = "yard"
title = "Boats at anchor"
seed = 5
start_unix_s = 1768498200
duration_s = 12.0
land = {{ coast_north_m = 360.0, coast_swing_m = 20.0, seed = 9 }}
sea = {{ wind_mps = 4.0 }}

[place]
latitude_deg = 3.0
longitude_deg = 79.0
west_m = -800.0
east_m = 800.0
south_m = -800.0
north_m = 600.0
{_BOATS}
[[platforms]]
id = "swing-1"
sysid = 41
plan = [[-200.0, -200.0], [200.0, -200.0], [200.0, -500.0], [-200.0, -500.0]]
turn_radius_m = 100.0
alt_msl_m = 160.0
speed_mps = 22.0
home = [0.0, 400.0]
look_area = [-600.0, -750.0, 600.0, 300.0]
texel_m = 3.0

[platforms.camera]
width_px = 640
height_px = 360
hfov_deg = 60.0
fps = 2.0
frame_lag_s = 0.3

[platforms.camera.sweep]
reference = "nose"
azimuth_deg = 40.0
amplitude_deg = 50.0
period_s = 12.0
pitch_deg = -50.0
convention = "gimbal_device_vehicle"
{_ERRORS}
[[platforms]]
id = "bank-1"
sysid = 42
plan = [[-70.0, -250.0], [70.0, -250.0], [70.0, -390.0], [-70.0, -390.0]]
turn_radius_m = 65.0
alt_msl_m = 150.0
speed_mps = 22.0
home = [0.0, 400.0]
look_area = [-600.0, -750.0, 600.0, 300.0]
texel_m = 3.0

[platforms.camera]
width_px = 640
height_px = 480
hfov_deg = 90.0
fps = 2.0
frame_lag_s = 0.3
{_ERRORS}
"""
