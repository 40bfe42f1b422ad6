"""The worker's file: mounts that name their gimbal, and what is refused."""

from pathlib import Path

import pytest

from edge.config import EdgeConfig, MountConfig
from skywarden.config import load_config
from skywarden.errors import ConfigError


def _loaded(tmp_path: Path, mount: str) -> MountConfig:
    path = tmp_path / "edge.toml"
    path.write_text(
        f'platform_id = "uav07"\n[[sensor]]\ncamera = {{ url = "images" }}\nmount = {{ {mount} }}\n',
        encoding="utf-8",
    )
    return load_config(EdgeConfig, path, prefix="edge", environ={}).sensor[0].mount


def test_a_mount_may_name_its_gimbal(tmp_path: Path) -> None:
    assert _loaded(tmp_path, 'kind = "gimbal"').gimbal_device_id is None
    assert _loaded(tmp_path, 'kind = "gimbal", gimbal_device_id = 171').gimbal_device_id == 171


@pytest.mark.parametrize("wrong", ["0", "256", '"154"', "1.5"])
def test_what_is_no_component_is_refused_with_its_path(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"sensor.*mount.*gimbal_device_id"):
        _loaded(tmp_path, f"gimbal_device_id = {wrong}")
