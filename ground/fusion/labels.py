"""Which labels may be one thing, and which things never move."""

from skywarden.messages import GENERIC_LABELS, Label

STATIC_LABELS = frozenset({"plot", "field", "building", "structure", "panel", "camp"})

VESSEL_LABELS = frozenset({"vessel", "boat", "ship", "go_fast", "fishing", "skiff", "panga", "cargo", "semi"})


def labels_agree(one: Label, two: Label) -> bool:
    """Whether two labels may be told of one thing: the same, a generic one, or two kinds of vessel."""
    if one == two or one in GENERIC_LABELS or two in GENERIC_LABELS:
        return True
    return one in VESSEL_LABELS and two in VESSEL_LABELS
