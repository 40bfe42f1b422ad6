"""Review as the ground answers it, for the invented ground: decisions, versions, conflicts, patterns."""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


class FakeReview:
    """Decisions about the contacts of an invented ground, kept in memory."""

    def __init__(self, contacts: dict[str, Json], now: Callable[[], str]) -> None:
        self._contacts = contacts
        self._now = now
        self._entries: list[Json] = []
        self._before: dict[int, dict[str, Json]] = {}
        self._previews: dict[str, list[str]] = {}

    def view(self, contact_id: str) -> Json:
        """The body of /api/v1/contacts/ID/review."""
        contact = self._contacts[contact_id]
        history = [one for one in reversed(self._entries) if contact_id in one["contacts"]]
        decided = [one for one in history if one["kind"] == "decision" and one["undone_by"] is None]
        newest = decided[0] if decided and contact["review"] != "unreviewed" else None
        others = [one for key, one in sorted(self._contacts.items()) if key != contact_id][:3]
        return {
            "contact_id": contact_id,
            "state": contact["review"],
            "version": contact["review_version"],
            "was": contact["review_was"],
            "new_tracks": contact["new_tracks"],
            "decided_by": newest["account"] if newest else None,
            "decided": newest["time"] if newest else None,
            "decision_number": newest["number"] if newest else None,
            "assignee": contact["assignee"],
            "history": [self._shown(one) for one in history],
            "nearby": [self._nearby(one) for one in others if one["position"] is not None],
        }

    def decide(self, contact_ids: list[str], decision: str, account: str = "maria", text: str = "") -> Json:
        """One decision about contacts, told nobody; `account` may be somebody else."""
        entry = self._entry("decision", account, contact_ids, decision=decision, text=text)
        self._before[entry["number"]] = {key: dict(self._contacts[key]) for key in contact_ids}
        for key in contact_ids:
            self._change(key, entry, review=decision, review_was=None, new_tracks=0, reviewed_by=account)
        return entry

    def post(self, path: str, given: Json) -> tuple[int, Json, list[str]]:
        """Status, body and the contacts that changed, for a POST below /api/v1/."""
        parts = path.split("/")
        if path == "review/patterns":
            return self._preview(given)
        if path == "review/patterns/reject":
            ids = self._previews.pop(given["preview_id"])
            return 200, self._shown(self.decide(ids, "rejected")), ids
        if parts[:2] == ["review", "log"]:
            return self._undo(int(parts[2]))
        contact_id = parts[1]
        contact = self._contacts[contact_id]
        if parts[-1] != "comments" and given["version"] < contact["review_version"]:
            error = f"{self._entries[-1]['account']} was first: it is {contact['review']} now"
            return 409, {"error": error, "current": self.view(contact_id)}, []
        if parts[-1] == "comments":
            self._entry("comment", "maria", [contact_id], text=given["text"])
        elif parts[-1] == "assignee":
            entry = self._entry("assignment", "maria", [contact_id], assignee=given["assignee"])
            self._change(contact_id, entry, assignee=given["assignee"])
        else:
            self.decide([contact_id], given["decision"], text=given["text"])
        return 200, self.view(contact_id), [contact_id]

    def _preview(self, given: Json) -> tuple[int, Json, list[str]]:
        fits = [
            key
            for key, one in self._contacts.items()
            if one["review"] == "unreviewed" and given.get("label") in (None, one["label"])
        ]
        if "centre" in given:
            fits = fits[:1]
        name = f"p{len(self._previews)}"
        self._previews[name] = fits
        body = {
            "preview_id": name,
            "contact_count": len(fits),
            "sighting_count": sum(self._contacts[key]["sighting_count"] for key in fits),
            "contact_ids": fits,
        }
        return 200, body, []

    def _undo(self, number: int) -> tuple[int, Json, list[str]]:
        entry = self._entries[number - 1]
        entry["undone_by"] = "maria"
        undo = self._entry("undo", "maria", entry["contacts"])
        for key, before in self._before[number].items():
            kept = ("review", "review_was", "new_tracks", "reviewed_by")
            self._change(key, undo, **{name: before[name] for name in kept})
        return 200, self._shown(undo), entry["contacts"]

    def _entry(self, kind: str, account: str, contacts: list[str], **more: Any) -> Json:
        entry = {
            "number": len(self._entries) + 1,
            "time": self._now(),
            "account": account,
            "kind": kind,
            "contacts": list(contacts),
            "decision": more.get("decision"),
            "text": more.get("text", ""),
            "assignee": more.get("assignee"),
            "undone_by": None,
        }
        self._entries.append(entry)
        return entry

    def _change(self, contact_id: str, entry: Json, **fields: Any) -> None:
        contact = self._contacts[contact_id]
        self._contacts[contact_id] = {**contact, **fields, "review_version": entry["number"]}

    @staticmethod
    def _shown(entry: Json) -> Json:
        return {**entry, "contact_count": len(entry["contacts"])}

    @staticmethod
    def _nearby(contact: Json) -> Json:
        names = ("contact_id", "label", "review", "review_was", "score", "first_seen", "last_seen")
        return {name: contact[name] for name in (*names, "platform_ids", "position", "best_chip_id")}
