"""`skywarden doctor`: the findings of `skywarden.doctor` for people and for programs."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

app = App(name="doctor", default_parameter=Parameter(negative=()))


@app.default
def doctor(
    *, json: bool = False, state: Path | None = None, verbose: Annotated[bool, Parameter(alias="-v")] = False
) -> int:
    """Tell what is missing, doubled or off on this machine, and what to do about it.

    For example:

        skywarden doctor
        skywarden doctor -v --state /var/lib/skywarden
        skywarden doctor --json

    Exits with 0 when all is well or only advice is given, 1 when something will not work.

    Parameters
    ----------
    json
        Print one JSON object: `is_good` and `findings`.
    state
        The folder that the worker or station will write to, checked for permission and space.
    verbose
        Also list what is in order.
    """
    from rich.console import Console
    from rich.text import Text

    from skywarden.doctor import examine

    findings = examine(state)
    is_good = all(finding.state != "failed" for finding in findings)
    if json:
        tree = {"is_good": is_good, "findings": findings}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
        return 0 if is_good else 1
    console = Console()
    styles = {"ok": "green", "advice": "yellow", "failed": "bold red"}
    for finding in findings:
        if verbose or finding.state != "ok":
            line = Text.assemble(
                (f"{finding.state:<8}", styles[finding.state]), f"{finding.check}: {finding.text}"
            )
            console.print(line, soft_wrap=True)
            if finding.remedy:
                console.print(Text(f"        {finding.remedy}"), soft_wrap=True)
    good = sum(finding.state == "ok" for finding in findings)
    console.print(f"{good} of {len(findings)} checks in order.", highlight=False)
    return 0 if is_good else 1
