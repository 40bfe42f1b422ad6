"""Text inside XML: escaped, and without the characters that XML 1.0 cannot carry."""

from xml.sax.saxutils import escape

_QUOTES = {'"': "&quot;"}
_SURROGATES = range(0xD800, 0xE000)


def xml_text(value: object, limit: int = 2_000) -> str:
    """`value` as content or attribute of XML; what XML 1.0 has no place for becomes a question mark."""
    text = "".join(each if _may_stand(each) else "?" for each in str(value)[:limit])
    return escape(text, _QUOTES)


def _may_stand(each: str) -> bool:
    code = ord(each)
    return each in "\t\n" or (code >= 0x20 and code not in _SURROGATES and code not in (0xFFFE, 0xFFFF, 0x7F))
