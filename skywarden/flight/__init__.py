"""A recorded flight as a folder of standard files: written, read, verified, exported."""

from skywarden.flight.reader import FlightReader, FrameRef
from skywarden.flight.schema import (
    ClockNote,
    FixedMount,
    FlightInfo,
    FrameLine,
    GimbalMount,
    ImageFolder,
    Sensor,
    SourceFile,
    VideoFile,
    flight_folder_name,
)
from skywarden.flight.verify import VerifyReport, verify
from skywarden.flight.writer import FlightWriter

__all__ = [
    "ClockNote",
    "FixedMount",
    "FlightInfo",
    "FlightReader",
    "FlightWriter",
    "FrameLine",
    "FrameRef",
    "GimbalMount",
    "ImageFolder",
    "Sensor",
    "SourceFile",
    "VerifyReport",
    "VideoFile",
    "flight_folder_name",
    "verify",
]
