"""What the tests of faults share: the measured numbers are shown, and everything must be reached."""

import sys

from sim.faults.cli import table
from sim.faults.result import Result


def told(result: Result) -> str:
    """The measured numbers, which -rP shows."""
    text = "\n".join(table(result))
    sys.stdout.write(f"{text}\n")
    return text


def require_passed(result: Result, *but: str) -> None:
    """Everything was reached; `but` names what a busy machine may miss."""
    result.criteria = [one for one in result.criteria if not any(part in one.name for part in but)]
    text = told(result)
    assert result.is_passed, text
