"""What the tests of web exports read again and again."""

from typing import Any


def features_links(page: Any) -> dict[str, str]:
    """The addresses of a page's links by their relation."""
    return {one["rel"]: one["href"] for one in page["links"]}
