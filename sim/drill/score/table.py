"""A score card as tables for the terminal."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sim.drill.score.card import Card, PersonCard


def rows(one: PersonCard) -> list[tuple[str, str]]:
    """What stands on a person's card: figure, value; what does not apply is a dash."""
    return [
        ("noticed", f"{one.noticed} of {one.cases} cases"),
        ("to notice, median", seconds(one.median_to_notice_s)),
        ("to decide, median", seconds(one.median_to_decide_s)),
        ("right: confirmed what is real", str(one.confirmed_real)),
        ("right: rejected what is not", str(one.rejected_false)),
        ("wrong: confirmed what is not", str(one.confirmed_false)),
        ("wrong: rejected what is real", str(one.rejected_real)),
        ("taken back", str(one.undone)),
        ("alerts acknowledged", str(one.alerts_acknowledged)),
        ("to acknowledge, median", seconds(one.median_to_acknowledge_s)),
        ("orders of the trainer noticed", f"{one.orders_noticed} of {len(one.orders)}"),
    ]


def crew_rows(card: Card) -> list[tuple[str, str]]:
    """What the crew left standing together."""
    crew = card.crew
    return [
        ("real things shown", str(crew.real_shown)),
        ("confirmed", str(crew.confirmed)),
        ("missed: real and not confirmed", str(len(crew.missed))),
        ("shown and not real", str(crew.false_shown)),
        ("rejected rightly", str(crew.rejected)),
        ("confirmed and not real", str(len(crew.false_confirmed))),
        ("alerts, still open", f"{crew.alerts}, {crew.alerts_open}"),
        ("orders noticed by anybody", f"{crew.orders_noticed} of {crew.orders}"),
    ]


def score_table(card: Card) -> Group:
    """The whole card."""
    head = Text(f"EXERCISE  {card.title}: {card.scenario}, seed {card.seed}, {card.seconds:g} s")
    people = Table(box=box.SIMPLE)
    people.add_column("each")
    for one in card.people:
        people.add_column(one.account, justify="right")
    every = [rows(one) for one in card.people]
    for number, (name, _) in enumerate(every[0] if every else []):
        people.add_row(name, *(mine[number][1] for mine in every))
    crew = Table(box=box.SIMPLE)
    crew.add_column("together")
    crew.add_column("", justify="right")
    for name, value in crew_rows(card):
        crew.add_row(name, value)
    return Group(head, people, crew)


def seconds(value: float | None) -> str:
    """Seconds in words; a dash where there are none."""
    return "-" if value is None else f"{value:.0f} s"
