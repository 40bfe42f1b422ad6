"""`skywarden sim drill`: run a drill, order things in it, note what people noticed, score it, replay it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from skywarden.errors import UsageError

if TYPE_CHECKING:
    from sim.drill.story import Injected

app = App(
    name="drill",
    help="""Train a crew: a scenario against the real console, marked EXERCISE, scored against truth.

For example:

    skywarden sim drill fishing-fleet --crew ana,ben
    skywarden sim drill inject vessel_appears --vessel runner east_m=900 north_m=-700 heading_deg=300
    skywarden sim drill note 2 --by ana "reported the silent boat by voice"
    skywarden sim drill score drill --report card.html
    skywarden sim drill replay drill
""",
    default_parameter=Parameter(negative=()),
)
AsJson = Annotated[bool, Parameter(name="--json", help="Print the result as JSON.")]
Folder = Annotated[
    Path, Parameter(name="--dir", help="Folder of the drill, as --out of `skywarden sim drill`.")
]


@app.default
def run(
    name: str,
    /,
    *,
    crew: str = "operator",
    trainer: str = "trainer",
    out: Path = Path("drill"),
    seed: int | None = None,
    seconds: float | None = None,
    fps: float = 1.0,
    script: Path | None = None,
    model: str | None = None,
    http: str = "127.0.0.1:0",
    insecure_http: bool = False,
    open_browser: Annotated[bool, Parameter(name="--open")] = False,
) -> int:
    """Fly a scenario live against a station that is an exercise, until its time is up or Ctrl-C.

    Platforms, edge workers, radio link and station are the real ones; only the world is drawn. It runs at the
    pace of the world: what is measured is how fast people are.

    For example:

        skywarden sim drill fishing-fleet --crew ana,ben --seconds 900
        skywarden sim drill ./night.toml --crew ana --script orders.toml --out night-drill
        skywarden sim drill harbour --crew ana,ben --http 0.0.0.0:8600 --insecure-http

    Parameters
    ----------
    name
        Name of a scenario (`skywarden sim scenario list`), or path of a TOML file.
    crew
        Names of those who are drilled, with commas; each gets an address that signs in once.
    trainer
        Name of the trainer, who may see everything.
    out
        Folder for all that the drill leaves; empty or not there yet.
    seed
        Draws errors and noise, and moves vessels where the scenario lets it.
    seconds
        How long; the scenario's own length when not given.
    fps
        Pictures a second of each camera; what the machine can draw.
    script
        TOML file with tables [[order]]: kind, at_s, for_s, platform, vessel, parameters, note.
    model
        Detector of the zoo for all platforms; chosen by the mount when not given.
    http
        Address of the console; port 0 takes a free one.
    insecure_http
        Let others on the network reach the console without TLS: they could read along. Nothing is real.
    open_browser
        Open the console of the first of the crew in the browser.
    """
    import webbrowser

    from sim.drill.drill import Drill, DrillOptions, options_crew
    from sim.drill.orders import load_orders
    from sim.replay import stop_on_signals
    from sim.scenario.description import load_scenario
    from skywarden.logs import configure_logs

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out}: name a folder that is empty or not there yet")
    if not 0.1 <= fps <= 10.0:
        raise UsageError(f"--fps {fps:g}: goes from 0.1 to 10")
    options = DrillOptions(
        crew=options_crew(crew),
        trainer=trainer,
        seconds=seconds,
        fps=fps,
        http=http,
        insecure_http=insecure_http,
        model=model,
        script=load_orders(script) if script is not None else (),
    )
    drill = Drill(load_scenario(name, seed=seed), out.absolute(), options)
    configure_logs(verbosity=-1)
    with stop_on_signals() as stop:
        try:
            drill.prepare(_say)
            drill.start()
            pages = drill.sign_in_pages()
            for account, page in pages.items():
                _say(f"{account:<12}{page}")
            _say(
                "(each address signs in once; this is an EXERCISE and says so everywhere)\n"
                f"orders, in another terminal: skywarden sim drill inject KIND --dir {out}"
            )
            if open_browser:
                webbrowser.open(pages[options.crew[0]])
            while not stop.wait(0.2) and not drill.is_over:
                for one in drill.turn():
                    _say(_told(one))
        finally:
            _say("stopping ...")
            drill.stop()
    _say(f"the score card: skywarden sim drill score {out} --report card.html")
    return 128 + stop.number if stop.number is not None else 0


@app.command
def inject(
    kind: str,
    /,
    *parameters: str,
    vessel: str | None = None,
    platform: str | None = None,
    at_s: float | None = None,
    for_s: float | None = None,
    note: str = "",
    folder: Folder = Path("drill"),
    json: AsJson = False,
) -> int:
    """Let something happen in a drill that runs: a fault, or a deed of a vessel.

    For example:

        skywarden sim drill inject gnss_drift north_mps=2 --platform coast-1 --for-s 60
        skywarden sim drill inject vessel_appears east_m=900 north_m=-700 heading_deg=300 --vessel runner
        skywarden sim drill inject ais_off --vessel fishing-3 --note "falls silent: to be reported"

    Parameters
    ----------
    kind
        What (`skywarden sim drill kinds`).
    parameters
        The kind's own: NAME=VALUE.
    vessel
        Which vessel does it; the name of a new one.
    platform
        Whom a fault befalls; all platforms when not given.
    at_s
        Seconds after the start of the drill; at once when not given.
    for_s
        How long a fault lasts; to the end when not given.
    note
        What the crew should make of it, for the score card.
    """
    from sim.drill.orders import Order
    from sim.drill.spool import Spool

    try:
        order = msgspec.convert(
            {
                "kind": kind,
                "at_s": at_s,
                "for_s": for_s,
                "platform": platform,
                "vessel": vessel,
                "parameters": dict(_parameter(one) for one in parameters),
                "note": note,
            },
            Order,
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"this is no order: {error}") from error
    done = Spool(folder).ask(order)
    if json:
        _print_json(done)
    else:
        sys.stdout.write(_told(done) + "\n")
    return 0


@app.command
def kinds(*, json: AsJson = False) -> int:
    """List what can be ordered in a drill, with parameters.

    For example:

        skywarden sim drill kinds
        skywarden sim drill kinds --json
    """
    from sim.drill.orders import listed

    found = listed()
    if json:
        _print_json(found)
        return 0
    for one in found:
        sys.stdout.write(f"{one['kind']:<18}{one['about']}\n")
        parameters = one["parameters"]
        assert isinstance(parameters, dict)
        for key, spec in parameters.items():
            default = spec["default"] if spec["default"] != "" else "none"
            sys.stdout.write(f"{'':<18}  {key} = {default} ({spec['about']})\n")
    return 0


@app.command
def note(number: int, text: str = "", /, *, by: str, folder: Folder = Path("drill")) -> int:
    """Write down that somebody of the crew noticed an order, by voice or in another way no machine hears.

    For example:

        skywarden sim drill note 2 --by ana "reported the compass by voice"

    Parameters
    ----------
    number
        The order's number, as it was shown when it was carried out.
    text
        What was said.
    by
        Who of the crew.
    """
    import time

    from sim.drill.story import Note, Story

    story = Story(folder)
    info = story.info()
    if by not in info.crew:
        raise UsageError(f"{by!r} is not of this crew: {', '.join(info.crew)}")
    if number not in {one.number for one in story.injected()}:
        raise UsageError(f"no order {number} was carried out in {folder}")
    story.add_note(Note(number=number, account=by, time_ns=time.time_ns(), text=text[:400]))
    sys.stdout.write(f"{by} noticed order {number}\n")
    return 0


@app.command
def score(folder: Path, /, *, report: Path | None = None, json: AsJson = False) -> int:
    """Judge what the crew of a drill did against truth: a score card for each.

    What was noticed and decided, how soon, right or wrong; alerts acknowledged; orders of the trainer
    noticed. Works while the drill runs, too.

    For example:

        skywarden sim drill score drill
        skywarden sim drill score drill --report card.html
        skywarden sim drill score drill --json

    Parameters
    ----------
    folder
        Folder of the drill.
    report
        HTML page to write, with the course of the watch as a drawing. It needs nothing outside itself.
    """
    from rich.console import Console

    from sim.drill.score.acts import read_done
    from sim.drill.score.card import judged
    from sim.drill.score.cases import read_cases
    from sim.drill.score.table import score_table
    from sim.drill.story import Story

    if report is not None and (report.is_dir() or not report.absolute().parent.is_dir()):
        raise UsageError(f"--report {report}: name a file in a folder that is there")
    story = Story(folder)
    info, injected = story.info(), story.injected()
    cases, done = read_cases(story), read_done(story.ground)
    card = judged(info, cases, done, injected, story.notes())
    if report is not None:
        from sim.drill.score.page import card_page

        report.write_text(card_page(card, info, cases, done, injected), encoding="utf-8")
    if json:
        _print_json(card)
    else:
        Console().print(score_table(card))
    return 0


@app.command
def replay(
    folder: Path,
    /,
    *,
    http: str = "127.0.0.1:0",
    open_browser: Annotated[bool, Parameter(name="--open")] = False,
) -> int:
    """Show the watch of a drill again in the console, with marks of who did what when, until Ctrl-C.

    The time line stands at the beginning of the drill; press play. Orders of the trainer, looks, decisions,
    alerts and acknowledgements are marks on it.

    For example:

        skywarden sim drill replay drill
        skywarden sim drill replay drill --http 127.0.0.1:8600 --open

    Parameters
    ----------
    folder
        Folder of a drill that is over.
    http
        Address of the console; port 0 takes a free one.
    open_browser
        Open the console in the browser.
    """
    import webbrowser

    from sim.drill.replay import replayed
    from sim.drill.story import Story
    from sim.replay import stop_on_signals
    from skywarden.logs import configure_logs

    configure_logs(verbosity=-1)
    with stop_on_signals() as stop, replayed(Story(folder), http) as shown:
        _say(f"{shown.page}\n(this address signs in once; {shown.marks} marks; Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(shown.page)
        while not stop.wait(0.5):
            pass
    return 128 + (stop.number or 0)


def _parameter(text: str) -> tuple[str, bool | float | str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is no parameter; write NAME=VALUE")
    if value in ("true", "false"):
        return name, value == "true"
    if name == "mmsi":
        return name, value
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _told(one: "Injected") -> str:
    whom = one.order.vessel or one.order.platform or "all"
    until = f" until {one.end_s:.0f} s" if one.end_s is not None else ""
    if one.problem:
        return f"order {one.number} at {one.at_s:.0f} s: {one.order.kind} of {whom} not done: {one.problem}"
    word = f"order {one.number}" if one.number else "planned"
    return f"{word} at {one.at_s:.0f} s: {one.order.kind} of {whom}{until}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
