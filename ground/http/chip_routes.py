"""Where the object lies in a chip: the route /api/v1/chips/ID/box, beside the image itself."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException

from ground.accounts.roles import Permission
from ground.http.gate import needs
from ground.http.views import ErrorView, View
from ground.store.reading import StoreReader

_NOT_FOUND: Mapping[int | str, dict[str, Any]] = {
    404: {"model": ErrorView, "description": "There is no such chip."}
}


class ChipBoxView(View):
    """The size of a chip and the box of the object in it: left, top, right, bottom, in pixels of the chip."""

    chip_id: str
    sighting_id: str
    width_px: int
    height_px: int
    box_in_chip_px: tuple[float, float, float, float]


def add_chip_routes(app: FastAPI, store: StoreReader) -> None:
    """What is known of a chip beside its pixels."""

    @app.get(
        "/api/v1/chips/{chip_id}/box",
        response_model=ChipBoxView,
        responses={**_NOT_FOUND},
        tags=["sightings"],
    )
    @needs(Permission.SEE_CONTACTS)
    def box(chip_id: str) -> ChipBoxView:
        """Where the object is in the image."""
        found = store.chip(chip_id)
        if found is None:
            raise HTTPException(404, "there is no such chip")
        return ChipBoxView(
            chip_id=found.chip_id,
            sighting_id=found.sighting_id,
            width_px=found.width_px,
            height_px=found.height_px,
            box_in_chip_px=found.box_in_chip_px,
        )
