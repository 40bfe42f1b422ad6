"""The edge's file: what is wrong is named with its place, before anything starts; the rest has defaults."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.config import EdgeConfig
from skywarden.config import load_config, to_tree
from skywarden.errors import ConfigError

SENSOR = '[[sensor]]\n[sensor.camera]\nurl = "/images"\n'
LENS = "[sensor.lens]\nwidth_px = 640\nheight_px = 480\n"


def _load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> EdgeConfig:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(EdgeConfig, path, prefix="edge", environ=environ or {})


def test_a_name_is_all_that_is_required(tmp_path: Path) -> None:
    config = _load(tmp_path, 'platform_id = "uav07"')
    assert config.sensor == ()
    assert config.recorder.is_on
    assert not config.is_exercise
    assert config.state_dir(Path("/var/lib/skywarden/edge")) == Path("/var/lib/skywarden/edge/uav07")
    assert _load(tmp_path, 'platform_id = "a"\nstate = "/srv/a"').state_dir(Path("/x")) == Path("/srv/a")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "platform_id"),
        ('platform_id = "a b"', "platform_id"),
        ('platform_id = "' + "a" * 33 + '"', "platform_id"),
        ('platform_id = "../x"', "platform_id"),
        ('platform_id = "a"\nplatform = 1', "platform"),
        ('platform_id = "a"\n[recorder]\njpeg_quality = 101', "$.recorder.jpeg_quality"),
        ('platform_id = "a"\n[recorder]\nframes_per_s = nan', "$.recorder.frames_per_s"),
        ('platform_id = "a"\n[sighting]\ninterval = 1', "$.sighting"),
        (f'platform_id = "a"\n{SENSOR}[sensor.model]\nthreads = -1', "$.sensor[0].model.threads"),
        (f'platform_id = "a"\n{SENSOR}[sensor.sigma]\nheading_deg = inf', "$.sensor[0].sigma.heading_deg"),
        (f'platform_id = "a"\n{SENSOR}[sensor.mount]\nkind = "belt"', "$.sensor[0].mount.kind"),
        (f'platform_id = "a"\n{SENSOR}[sensor.surface]\nkind = "terrain"', "path is missing"),
        (f'platform_id = "a"\n{SENSOR}{LENS}', "$.sensor[0].lens"),
        (f'platform_id = "a"\n{SENSOR}{LENS}fx = 0.1', "$.sensor[0].lens"),
        (f'platform_id = "a"\n{SENSOR}{LENS}fx = 500\ncx = nan', "$.sensor[0].lens"),
        (f'platform_id = "a"\n{SENSOR}{LENS}fx = 500\ncx = 5000', "$.sensor[0].lens"),
        (f'platform_id = "a"\n{SENSOR}{LENS}fx = 500\ndistortion = [0.1]', "$.sensor[0].lens"),
        (f'platform_id = "a"\n{SENSOR}{LENS}fx = 500\ndistortion = [inf, 0, 0, 0]', "$.sensor[0].lens"),
        (f'platform_id = "a"\n{SENSOR}[sensor.tracker]\nlow_score = 0.9', "$.sensor[0]"),
        (f'platform_id = "a"\n{SENSOR}sensor_id = ".."', "sensor_id"),
        (f'platform_id = "a"\n{SENSOR}sensor_id = "{"x" * 33}"', "sensor_id"),
        (f'platform_id = "a"\n{SENSOR}{SENSOR}', "two sensors share a name"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert where in str(caught.value)
    assert "edge.toml" in str(caught.value)
    assert caught.value.exit_code == 78


def test_a_lens_is_a_field_of_view_or_a_calibration(tmp_path: Path) -> None:
    by_view = _load(tmp_path, f'platform_id = "a"\n{SENSOR}{LENS}hfov_deg = 90.0').sensor[0].lens
    by_numbers = _load(tmp_path, f'platform_id = "a"\n{SENSOR}{LENS}fx = 320.0').sensor[0].lens
    assert by_view is not None
    assert by_numbers is not None
    view, numbers = by_view.model(), by_numbers.model()
    assert (view.fx, view.fy, view.cx, view.cy) == pytest.approx((320.0, 320.0, 319.5, 239.5))
    assert (numbers.fx, numbers.fy, numbers.cx, numbers.cy) == (320.0, 320.0, 319.5, 239.5)


def test_the_environment_overrides_single_keys(tmp_path: Path) -> None:
    environ = {
        "SKYWARDEN_EDGE__MAVLINK__CONNECTION": "udpin:0.0.0.0:14551",
        "SKYWARDEN_EDGE__RECORDER__IS_ON": "false",
        "SKYWARDEN_GROUND__HTTP": "elsewhere",
    }
    config = _load(tmp_path, 'platform_id = "a"', environ)
    assert config.mavlink.connection == "udpin:0.0.0.0:14551"
    assert not config.recorder.is_on
    with pytest.raises(ConfigError, match="jpeg_quality"):
        _load(tmp_path, 'platform_id = "a"', {"SKYWARDEN_EDGE__RECORDER__JPEG_QUALITY": "best"})


def test_the_values_in_force_load_again(tmp_path: Path) -> None:
    config = _load(tmp_path, f'platform_id = "a"\n{SENSOR}{LENS}hfov_deg = 60.0')
    assert msgspec.convert(to_tree(config), EdgeConfig) == config


def _keys(tree: Any) -> int:
    return sum(map(_keys, tree.values())) if isinstance(tree, dict) else 1


def test_there_is_something_to_set() -> None:
    assert _keys(to_tree(EdgeConfig(platform_id="a"))) > 30
