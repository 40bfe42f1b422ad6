"""Elements of a page as text: whatever stands in them is escaped, whoever wrote it."""

import html

Attribute = str | int | float | None


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: object) -> Markup:
    """Text as it may stand in a page; control characters become question marks."""
    if isinstance(text, Markup):
        return text
    plain = "".join(one if one.isprintable() or one == "\n" else "?" for one in str(text))
    return Markup(html.escape(plain, quote=True))


def tag(name: str, *children: object, **attributes: Attribute) -> Markup:
    """One element; `None` children and attributes are left out, `class_` is "class", `_` is "-"."""
    given = "".join(
        f' {"class" if key == "class_" else key.replace("_", "-")}="{escaped(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = joined(*children)
    return Markup(f"<{name}{given}>{inside}</{name}>")


def joined(*children: object) -> Markup:
    """Children one after the other."""
    return Markup("".join(escaped(one) for one in children if one is not None))


def _number(value: Attribute) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
