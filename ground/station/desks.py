"""What people work with: accounts, requests to platforms, review; and the keeper of what grows old."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ground.accounts.doorkeeper import Doorkeeper
from ground.link.receiver import Receiver
from ground.link.tasking import TaskingCourier, TaskingDesk
from ground.picture.live import LivePicture
from ground.review.desk import ReviewDesk
from ground.review.log import ReviewLog, review_path
from ground.station.memory import Foundation, Memory
from ground.station.places import store_path
from ground.station.radio import Radio
from ground.store.retention import Erased, Expired
from ground.store.seam import Store
from ground.upkeep.keeper import RetentionKeeper
from skywarden.clock import Clock
from skywarden.errors import StoreError
from skywarden.messages import TaskingReceipt

_log = structlog.get_logger("ground.serve")


@dataclass(frozen=True, kw_only=True, slots=True)
class Desks:
    """Where people's words come in."""

    doorkeeper: Doorkeeper
    requests: TaskingDesk
    review: ReviewDesk
    retention: RetentionKeeper


def start_desks(base: Foundation, memory: Memory, radio: Radio) -> Desks:
    """Accounts, requests, review, retention; their problems are the station's."""
    doorkeeper = Doorkeeper(base.state_dir, base.config.accounts, clock=base.clock)
    base.parts.add("accounts", doorkeeper.close)
    requests = _start_requests(base, radio.receiver, memory.picture)
    review = _start_review(base, memory.store, memory.picture)
    retention = _start_retention(base, memory, doorkeeper)
    radio.problems.others.append(retention.problems)
    return Desks(doorkeeper=doorkeeper, requests=requests, review=review, retention=retention)


def _start_requests(base: Foundation, receiver: Receiver, picture: LivePicture) -> TaskingDesk:
    """The desk of requests: what is asked goes out by the receiver, receipts come in by it."""
    clock: Clock = base.clock
    desk = TaskingDesk(base.state_dir / "taskings.sqlite")
    base.parts.add("tasking desk", desk.close)

    def age_s(platform_id: str) -> float | None:
        now_s, now_ns = clock.monotonic_ns() / 1e9, clock.utc_ns()
        found = picture.platform(platform_id)
        return found.age_s(now_s, now_ns) if found is not None else None

    def note(platform_id: str, receipt: TaskingReceipt) -> None:
        try:
            desk.note_receipt(platform_id, receipt, clock.utc_ns())
        except StoreError as error:  # asked again, and answered again
            _log.error("a receipt was not kept", tasking_id=receipt.tasking_id, reason=str(error))

    receiver.on_receipt = note
    courier = TaskingCourier(desk, receiver.send_tasking, age_s, clock)
    base.parts.add("tasking courier", courier.stop)
    courier.start()
    return desk


def _start_review(base: Foundation, store: Store, picture: LivePicture) -> ReviewDesk:
    """The desk of review: whoever watches is told at once what somebody decided."""

    def tell(contact_ids: Sequence[str]) -> None:
        found = [store.contact(name) for name in contact_ids]
        picture.note_contacts([one for one in found if one is not None], [])
        picture.publish()

    review = ReviewDesk(ReviewLog(review_path(base.state_dir)), store, tell)
    base.parts.add("review", review.close)
    return review


def _start_retention(base: Foundation, memory: Memory, doorkeeper: Doorkeeper) -> RetentionKeeper:
    """What is too old goes from store and picture, and an entry in the access log says so."""

    def forget(step: Erased) -> None:
        memory.picture.forget_sightings(step.sighting_ids)
        memory.picture.note_contacts([], list(step.contact_ids))

    def note(found: Expired) -> None:
        count = sum(found.erased.values())
        doorkeeper.note_local(
            "erase", f"{count} records, {found.quarantined} of quarantine, {found.held} held"
        )

    keeper = RetentionKeeper(
        base.config.retention,
        store_path(base.state_dir),
        memory.store,
        base.clock,
        on_erased=forget,
        on_pass=note,
    )
    base.parts.add("retention", keeper.stop)
    keeper.start()
    return keeper
