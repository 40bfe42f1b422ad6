"""The watch of a drill shown again: its own station on what it left, with marks of who did what when."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ground.accounts.roles import Role
from ground.config import GroundConfig
from ground.exercise.marks import FILE, WatchMark, write_marks
from ground.serve import GroundHandle, start_ground
from sim.drill.score.acts import Done, read_done
from sim.drill.score.card import cases_of
from sim.drill.score.cases import Cases, read_cases
from sim.drill.story import DrillInfo, Injected, Note, Story


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """A station that shows a watch: `page` opens the console on its beginning, and signs in once."""

    handle: GroundHandle
    page: str
    marks: int


def marks_of(
    info: DrillInfo, cases: Cases, done: Done, injected: list[Injected], notes: list[Note]
) -> list[WatchMark]:
    """The trainer's orders, what was noticed of them by voice, and every look at a case, oldest first.

    Decisions and alerts are marks of the station itself.
    """
    found = [
        WatchMark(
            time_ns=one.time_ns,
            kind="order",
            text=f"{one.number}: {one.order.kind} {one.order.vessel or one.order.platform or ''}".strip(),
        )
        for one in injected
        if not one.problem
    ]
    found += [
        WatchMark(
            time_ns=one.time_ns,
            kind="order",
            account=one.account,
            text=f"noticed {one.number}: {one.text}"[:400],
        )
        for one in notes
    ]
    for act in done.acts:
        if act.kind == "opened" and act.account in info.crew:
            about = cases_of(act, cases)
            contact = act.contact_ids[0] if act.contact_ids else ""
            text = ", ".join(case.thing for case in about) or contact
            found.append(
                WatchMark(
                    time_ns=act.time_ns,
                    kind="opened",
                    account=act.account,
                    text=text[:400],
                    contact_id=contact,
                )
            )
    return sorted(found, key=lambda one: one.time_ns)


@contextmanager
def replayed(story: Story, http: str) -> Iterator[Replayed]:
    """The station of a drill that is over, on the same folder; nobody flies.

    Raises `StoreError` when the drill still runs, `FlightError` when the folder is none.
    """
    info = story.info()
    done = read_done(story.ground)
    marks = marks_of(info, read_cases(story), done, story.injected(), story.notes())
    write_marks(story.ground, marks)
    handle = start_ground(
        GroundConfig(
            state=str(story.ground),
            http=http,
            link="127.0.0.1:0",
            layers=str(story.folder / "layers"),
            exercise=True,
        )
    )
    try:
        page = handle.sign_in_page(info.trainer, Role.SUPERVISOR)
        at_ms = info.start_ns // 1_000_000
        yield Replayed(handle=handle, page=f"{page}&past={at_ms}", marks=len(marks))
    finally:
        handle.stop()
        (story.ground / FILE).unlink(missing_ok=True)
