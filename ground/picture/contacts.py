"""Contacts under the names by which the rest of the ground knows them; they are made in `ground.fusion`."""

from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact, ContactChanges, ContactEvent, ContactNode

__all__ = ["Contact", "ContactBook", "ContactChanges", "ContactEvent", "ContactNode"]
