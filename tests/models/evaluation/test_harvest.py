"""What people decided becomes a set to learn from: confirmed with a box, rejected without, the rest apart."""

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.review.desk import ReviewDesk
from ground.review.entries import Decision
from ground.review.log import ReviewLog
from ground.store.sqlite import SqliteStore
from models.evaluation.harvest import HarvestCase, write_harvest
from models.evaluation.reading import read_dataset
from sim.harvest import harvest
from skywarden.errors import InputError
from skywarden.messages import Message
from tests.ground.scenes import START_NS, arrival, chip, position, sighting


def jpeg(seed: int) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    ok, data = cv2.imencode(".jpg", picture)
    assert ok
    return data.tobytes()


def station(folder: Path) -> None:
    """Five contacts 3 km apart: the first confirmed, the second rejected, all of score 0.5 but one; the
    last one's chip is no image."""
    store = SqliteStore(folder / "store.sqlite", ContactBook(ContactsConfig()))
    log = ReviewLog(folder / "review.sqlite")
    try:
        messages: list[Message] = []
        for index in range(5):
            look = sighting(
                f"uav07-s1-eo.t{index}",
                1,
                at_s=index * 10,
                place=position(east_m=index * 3000.0),
                label="vessel",
                score=0.95 if index == 3 else 0.5,
            )
            data = b"no image" if index == 4 else jpeg(index)
            messages += [look, msgspec.structs.replace(chip(look), data=data)]
        store.ingest([arrival(one, number + 1) for number, one in enumerate(messages)])
        store.settle(1)
        desk = ReviewDesk(log, store)
        decisions: tuple[Decision, ...] = ("confirmed", "rejected")
        for index, decision in enumerate(decisions):
            contact = store.contact(f"c-uav07-s1-eo.t{index}")
            assert contact is not None
            desk.decide(contact, decision, account="ana", version=0, utc_ns=START_NS)
    finally:
        log.close()
        store.close()


def test_a_station_s_decisions_become_a_coco_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    state.mkdir()
    station(state)
    out = tmp_path / "out"
    assert harvest(state, out=out, json=True) == 0
    counts = json.loads(capsys.readouterr().out)
    assert [counts[name] for name in ("confirmed", "rejected", "uncertain", "unreadable")] == [1, 1, 1, 1]
    assert "ana" not in (out / "annotations" / "instances_reviewed.json").read_text(encoding="utf-8")
    reviewed = read_dataset(out / "annotations" / "instances_reviewed.json")
    assert sorted(len(image.objects) for image in reviewed.images) == [0, 1]
    (boat,) = next(image.objects for image in reviewed.images if image.objects)
    assert boat.label == "vessel"
    assert boat.box == pytest.approx((8.5, 8.5, 56.5, 56.5))
    unsure = read_dataset(out / "annotations" / "instances_uncertain.json")
    assert len(unsure.images) == 1
    with pytest.raises(InputError, match="not empty"):
        harvest(state, out=out)


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store"):
        harvest(tmp_path, out=tmp_path / "out")


def test_labels_and_media_of_strangers_make_no_path(tmp_path: Path) -> None:
    case = HarvestCase(
        image=jpeg(1),
        media_type="image/jpeg",
        box_px=(-5.0, -5.0, 500.0, 20.0),
        label="../../etc/passwd",
        score=0.5,
        model_id="m",
        state="confirmed",
        site="s",
        time_ns=1,
        decided_by_person=True,
    )
    counts = write_harvest([case, case], tmp_path / "out")
    assert counts["confirmed"] == 1
    (written,) = (tmp_path / "out" / "images").iterdir()
    assert written.name.startswith("etcpasswd-")
    tree = json.loads((tmp_path / "out" / "annotations" / "instances_reviewed.json").read_text("utf-8"))
    assert tree["annotations"][0]["bbox"] == [0.0, 0.0, 64.0, 20.5]
