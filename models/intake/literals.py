"""Reads the few Python literals that exporters write into ONNX metadata: `{0: 'boat'}` and `[640, 640]`.

A reader of its own, with limits, because `ast.literal_eval` builds whatever it is given and can be made to
run out of memory or stack.
"""

import re

from skywarden.errors import ModelError

MAX_TEXT = 64 * 1024
MAX_ITEMS = 4096

_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{0,9})?")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)


def read_names(text: str) -> tuple[str, ...]:
    """Class names in order, from `{0: 'boat', 1: 'buoy'}`, `{"0": "boat"}` or `['boat', 'buoy']`.

    Raises `ModelError` when it is none of these, or when the numbers are not 0, 1, 2 and so on.
    """
    cursor = _Cursor(_limited(text))
    if cursor.takes("["):
        names = [cursor.text() for _ in cursor.items("]")]
        cursor.end()
        return tuple(names)
    cursor.expects("{")
    by_number: dict[int, str] = {}
    for _ in cursor.items("}"):
        key = cursor.text() if cursor.sees("'") or cursor.sees('"') else cursor.number()
        cursor.expects(":")
        number = int(key) if str(key).isascii() and str(key).isdigit() else -1
        if number in by_number:
            raise ModelError(f"class {number} has two names")
        by_number[number] = cursor.text()
    cursor.end()
    if sorted(by_number) != list(range(len(by_number))):
        raise ModelError(f"the numbers of {len(by_number)} classes are not 0 to {len(by_number) - 1}")
    return tuple(by_number[number] for number in range(len(by_number)))


def read_numbers(text: str) -> tuple[float, ...]:
    """Numbers from `640`, `[640, 640]` or `(640, 640)`; raises `ModelError`."""
    cursor = _Cursor(_limited(text))
    for opening, closing in (("[", "]"), ("(", ")")):
        if cursor.takes(opening):
            found = tuple(float(cursor.number()) for _ in cursor.items(closing))
            cursor.end()
            return found
    one = float(cursor.number())
    cursor.end()
    return (one,)


def _limited(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ModelError(f"metadata of {len(text)} characters; at most {MAX_TEXT} are read")
    return text


class _Cursor:
    """A place in a text, moved on by what is read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def sees(self, mark: str) -> bool:
        """Whether `mark` comes next, after blanks."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text.startswith(mark, self._at)

    def takes(self, mark: str) -> bool:
        """Goes past `mark` if it comes next."""
        if not self.sees(mark):
            return False
        self._at += len(mark)
        return True

    def expects(self, mark: str) -> None:
        """Goes past `mark`; raises `ModelError` when something else comes."""
        if not self.takes(mark):
            raise ModelError(f"{mark!r} is due at character {self._at} of {self._text[:60]!r}")

    def items(self, closing: str) -> "_Items":
        """One turn for each item up to `closing`."""
        return _Items(self, closing)

    def text(self) -> str:
        """A quoted string."""
        self.sees("")
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise ModelError(f"a quoted name is due at character {self._at} of {self._text[:60]!r}")
        self._at = found.end()
        inner = found.group(1) if found.group(1) is not None else found.group(2)
        return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)

    def number(self) -> str:
        """A plain number."""
        self.sees("")
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            raise ModelError(f"a number is due at character {self._at} of {self._text[:60]!r}")
        self._at = found.end()
        return found.group()

    def end(self) -> None:
        """Raises `ModelError` when something is left."""
        if not self.sees("") or self._at != len(self._text):
            raise ModelError(f"something stands after character {self._at} of {self._text[:60]!r}")


class _Items:
    """Iterates once for each item between commas; a comma before the closing mark is allowed."""

    def __init__(self, cursor: _Cursor, closing: str) -> None:
        self._cursor, self._closing, self._count = cursor, closing, 0

    def __iter__(self) -> "_Items":
        return self

    def __next__(self) -> int:
        if self._cursor.takes(self._closing):
            raise StopIteration
        if self._count:
            self._cursor.expects(",")
            if self._cursor.takes(self._closing):
                raise StopIteration
        self._count += 1
        if self._count > MAX_ITEMS:
            raise ModelError(f"more than {MAX_ITEMS} items in metadata")
        return self._count
