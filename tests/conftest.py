"""What all tests share: where the real recordings lie, and quiet, bounded threads."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
os.environ.setdefault("MAVLINK20", "1")
os.environ.setdefault("MAVLINK_DIALECT", "ardupilotmega")

_PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; the test is skipped, visibly, where it is absent."""
    folder = Path(os.environ.get("SKYWARDEN_REAL_DATA", _PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set SKYWARDEN_REAL_DATA")
    return folder
