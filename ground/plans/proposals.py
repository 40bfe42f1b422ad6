"""From the name of a plot or contact to a proposal; what people have not confirmed only when it is said."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from ground.exports.source import ExportSource
from ground.plans.ground_height import GroundBelow
from ground.plans.limits import PlanLimits
from ground.plans.orbit import OrbitWish, expected_at, orbit_of
from ground.plans.plan_file import Proposal
from ground.plans.survey import SurveyWish, survey_of
from ground.review.entries import State
from ground.review.release import UNREVIEWED_NOTICE, is_released
from skywarden.errors import InputError
from skywarden.geometry.terrain import Surface

_WHY: Mapping[State, str] = {
    "rejected": "people have rejected it; nothing about it leaves",
    "more": "people want more of it and have not confirmed it",
    "unreviewed": "no person has confirmed it",
}


@dataclass(frozen=True, kw_only=True)
class ProposalDesk:
    """Makes proposals out of what the store holds; raises `InputError` where none can be made."""

    source: ExportSource
    limits: PlanLimits
    surface: Surface | None = None
    with_unreviewed: bool = False

    def survey(self, plot_id: str, wish: SurveyWish) -> Proposal:
        """A survey of a plot (its id, or that of its site)."""
        plot = self.source.plot(plot_id) or self.source.plot(plot_id.removeprefix("p-"))
        if plot is None:
            raise InputError(f"there is no plot {plot_id[:140]!r}")
        state = self.source.book.of_contact((plot.plot_id,)).state
        self._check(plot.plot_id, state)
        ground = GroundBelow(centre=plot.position, slope_deg=plot.slope_deg, surface=self.surface)
        return self._marked(survey_of(plot, wish, ground, self.limits), state, is_exercise=plot.is_exercise)

    def orbit(self, contact_id: str, wish: OrbitWish) -> Proposal:
        """An orbit of a contact."""
        stored = self.source.store.contact(contact_id)
        if stored is None:
            raise InputError(
                f"there is no contact {contact_id[:140]!r}; it may have been joined with another"
            )
        contact = stored.contact
        state = self.source.book.of_contact(contact.track_ids).state
        self._check(contact_id, state)
        expected = expected_at(contact, wish.at_ns)
        assert contact.position is not None  # `expected_at` asks for one
        centre = msgspec.structs.replace(
            contact.position, latitude_deg=expected.latitude_deg, longitude_deg=expected.longitude_deg
        )
        ground = GroundBelow(centre=centre, surface=self.surface)
        proposal = orbit_of(contact, wish, ground, self.limits)
        return self._marked(proposal, state, is_exercise=contact.is_exercise)

    def _check(self, name: str, state: State) -> None:
        if not is_released(state, with_unreviewed=self.with_unreviewed):
            raise InputError(
                f"{name}: {_WHY[state]}"
                + (
                    ""
                    if state == "rejected"
                    else "; say --unreviewed (unreviewed=true) for a plan that says so"
                )
            )

    def _marked(self, proposal: Proposal, state: State, *, is_exercise: bool) -> Proposal:
        marks = ["EXERCISE"] if is_exercise else []
        if state != "confirmed":
            marks.append("UNREVIEWED")
        if not marks:
            return proposal
        notes = proposal.notes if state == "confirmed" else (UNREVIEWED_NOTICE, *proposal.notes)
        return Proposal(
            title=f"{' '.join(marks)} {proposal.title}",
            notes=notes,
            steps=proposal.steps,
            home=proposal.home,
            speed_mps=proposal.speed_mps,
            vehicle=proposal.vehicle,
        )


def file_name(proposal: Proposal) -> str:
    """A name for the file that says what it is."""
    plain = "".join(
        each if each.isascii() and (each.isalnum() or each in "._") else "-" for each in proposal.title
    )
    return f"PROPOSAL-{plain[:100]}.plan"
