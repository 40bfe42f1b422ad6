"""A scenario that does nothing but log, as a station in the same process does."""

import structlog

from sim.faults.result import Profile, Result


def run(profile: Profile, seed: int) -> Result:
    """Say two words."""
    structlog.get_logger("talkative").info("quietly")
    structlog.get_logger("talkative").error("loudly")
    return Result("X1", profile, seed)
