"""Text inside XML: escaped, and without the characters that XML 1.0 cannot carry."""

import re

_FORBIDDEN = re.compile("[^\\t\\n\\x20-\\x7e\\x80-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


def xml_text(value: object, limit: int = 2_000) -> str:
    """`value` as content or attribute of XML; what XML 1.0 has no place for becomes a question mark."""
    return _FORBIDDEN.sub("?", str(value)[:limit]).translate(_ESCAPES)
