"""One detector or several in the worker's file; what contradicts itself is refused with what to do."""

from pathlib import Path

import pytest

from edge.config import EdgeConfig, SensorConfig
from skywarden.config import load_config
from skywarden.errors import ConfigError

SENSOR = 'platform_id = "uav07"\n[[sensor]]\ncamera = { url = "images" }\n'


def loaded(tmp_path: Path, more: str) -> SensorConfig:
    path = tmp_path / "edge.toml"
    path.write_text(SENSOR + more, encoding="utf-8")
    return load_config(EdgeConfig, path, prefix="edge", environ={}).sensor[0]


def test_the_old_form_is_a_list_of_one(tmp_path: Path) -> None:
    (only,) = loaded(tmp_path, '[sensor.model]\nname = "/opt/models/my vessel"\n').detectors
    assert (only.name, only.slot_name) == ("/opt/models/my vessel", "my-vessel")
    assert [one.slot_name for one in loaded(tmp_path, "").detectors] == ["anomaly"]


def test_several_have_each_their_own_limits_and_turns(tmp_path: Path) -> None:
    sensor = loaded(
        tmp_path,
        '[sensor.turns]\nlooks = 1\n[[sensor.detector]]\nname = "vessel-oblique"\nshare = 3.0\n'
        '[[sensor.detector]]\nname = "anomaly"\nevery = 2\nmin_score = 0.8\nclasses = ["anomaly"]\n',
    )
    assert [one.slot_name for one in sensor.detectors] == ["vessel-oblique", "anomaly"]
    assert [(one.share, one.every, one.min_score) for one in sensor.detectors] == [
        (3.0, 1, 0.0),
        (1.0, 2, 0.8),
    ]
    assert sensor.turns.looks == 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            '[sensor.model]\nname = "parcel"\n[[sensor.detector]]\nname = "anomaly"\n',
            "move the model to the list",
        ),
        ('[[sensor.detector]]\nname = "anomaly"\n' * 2, "give each a slot"),
        ("[sensor.turns]\nlooks = 1\nbudget_s = 0.1\n", "give one of them"),
        ("[[sensor.detector]]\nshare = 0.0\n", "share"),
        ('[[sensor.detector]]\nslot = "a b"\n', "slot"),
    ],
)
def test_what_contradicts_itself_is_refused_with_what_to_do(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded(tmp_path, more)
