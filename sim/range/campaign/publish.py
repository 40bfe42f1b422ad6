"""Puts a campaign among the documentation: its figures as JSON, and its part of the accuracy page."""

from pathlib import Path

import msgspec

from sim.accuracy.__main__ import kept_parts, page
from sim.accuracy.campaign import CAMPAIGN_JSON, Published, campaign_section
from sim.range.campaign.summary import Summary
from skywarden.errors import FlightError

PART = "campaign"
PAGE = "accuracy.md"


def publish_summary(
    docs: Path, summary: Summary, *, day: str, seeds: int, first_seed: int, seconds: float | None
) -> None:
    """Write `campaign.json` and renew the part of `accuracy.md`, its other parts kept.

    Raises `FlightError` when the folder cannot be written.
    """
    published = Published(day=day, seeds=seeds, first_seed=first_seed, seconds=seconds, summary=summary)
    made = campaign_section(published)
    target = docs / PAGE
    try:
        encoded = msgspec.json.format(msgspec.json.encode(published), indent=1)
        (docs / CAMPAIGN_JSON.name).write_bytes(encoded + b"\n")
        kept = kept_parts(target.read_text(encoding="utf-8")) if target.is_file() else {}
        text = page(kept | {PART: f"## {made.title}\n\n{made.text.strip()}"})
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FlightError(f"{docs}: cannot be written ({error.strerror})") from error
