"""Configuration: strict, with the path of what is wrong, and environment overrides."""

from pathlib import Path

import pytest

from skywarden.config import Config, load_config, to_tree
from skywarden.errors import ConfigError


class Radio(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section."""

    rate_bps: int = 9600
    name: str = "telem1"


class Machine(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file."""

    platform_id: str
    radio: Radio = Radio()
    is_exercise: bool = False


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "machine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_a_frozen_struct_with_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, 'platform_id = "uav07"\n[radio]\nrate_bps = 57600\n')
    config = load_config(Machine, path, prefix="edge", environ={})
    assert config == Machine(platform_id="uav07", radio=Radio(rate_bps=57600))
    assert to_tree(config)["radio"] == {"rate_bps": 57600, "name": "telem1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('platform_id = "a"\n[radio]\nbaud = 1\n', r"unknown field `baud`.*\$\.radio"),
        (
            'platform_id = "a"\n[radio]\nrate_bps = "fast"\n',
            r"Expected `int`, got `str`.*\$\.radio\.rate_bps",
        ),
        ("platform_id = 7\n", r"\$\.platform_id"),
        ("", "missing required field `platform_id`"),
        ("platform_id = [", "not valid TOML"),
        ('platform_id = "a"\nis_exercise = 1\n', r"\$\.is_exercise"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_path(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(Machine, path, prefix="edge", environ={})
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 78


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load_config(Machine, tmp_path / "absent.toml", prefix="edge", environ={})


def test_the_environment_overrides_single_keys_with_their_types(tmp_path: Path) -> None:
    path = written(tmp_path, 'platform_id = "uav07"\n')
    environ = {
        "SKYWARDEN_EDGE__RADIO__RATE_BPS": "115200",
        "SKYWARDEN_EDGE__IS_EXERCISE": "true",
        "SKYWARDEN_EDGE__RADIO__NAME": "ttyAMA0 at the back",
        "SKYWARDEN_GROUND__RADIO__NAME": "not ours",
        "HOME": "/nowhere",
    }
    config = load_config(Machine, path, prefix="edge", environ=environ)
    assert config.radio == Radio(rate_bps=115200, name="ttyAMA0 at the back")
    assert config.is_exercise is True


def test_an_override_of_a_key_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 'platform_id = "uav07"\n')
    with pytest.raises(ConfigError, match="unknown field `colour`"):
        load_config(Machine, path, prefix="edge", environ={"SKYWARDEN_EDGE__RADIO__COLOUR": "red"})


def test_an_override_below_a_plain_value_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 'platform_id = "uav07"\n')
    with pytest.raises(ConfigError, match="not a section"):
        load_config(Machine, path, prefix="edge", environ={"SKYWARDEN_EDGE__PLATFORM_ID__X": "1"})
