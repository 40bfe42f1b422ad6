"""What all tests share: where the real recordings lie, and quiet, bounded threads."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
os.environ.setdefault("MAVLINK20", "1")
os.environ.setdefault("MAVLINK_DIALECT", "ardupilotmega")

if "CI" not in os.environ:  # there Hypothesis draws the same examples in each run, by itself
    settings.register_profile("here", deadline=None)
    settings.load_profile("here")

_PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; the test is skipped, visibly, where it is absent."""
    folder = Path(os.environ.get("SKYWARDEN_REAL_DATA", _PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set SKYWARDEN_REAL_DATA")
    return folder
