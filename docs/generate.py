"""Writes the reference pages from the code itself; `tests/docs` fails when a page is not what the code says.

Usage: python docs/generate.py [--check]
"""

import inspect
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Made by docs/generate.py from the code; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """Every reference page by file name."""
    return {
        "configuration.md": NOTE + configuration_page(),
        "wire.md": NOTE + wire_page(),
        "errors.md": NOTE + errors_page(),
        "cli.md": NOTE + cli_page(),
    }


def configuration_page() -> str:
    """Every key of the edge's and the ground's files."""
    from edge.config import EdgeConfig
    from ground.config import GroundConfig

    parts = [
        "# Configuration\n",
        "One TOML file for each machine. Unknown keys are refused with their path. A single key can be",
        "overridden by the environment: `SKYWARDEN_EDGE__MAVLINK__CONNECTION` sets `mavlink.connection`.\n",
    ]
    for title, kind in (("Edge worker", EdgeConfig), ("Ground station", GroundConfig)):
        parts.append(f"## {title}\n")
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        parts.extend(_config_rows(kind, ""))
        parts.append("")
    return "\n".join(parts) + "\n"


def _config_rows(kind: type[msgspec.Struct], path: str) -> list[str]:
    rows = []
    docs = attributes_of(kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        key = f"{path}{field.name}"
        meaning = docs.get(field.name)
        if meaning is None:
            raise SystemExit(f"{kind.__name__}.{field.name} is not explained in its docstring")
        inner = _section(hints[field.name])
        if inner is not None:
            struct, is_list = inner
            rows.append(f"| **`{key}{'[]' if is_list else ''}`** | section | | {meaning} |")
            rows.extend(_config_rows(struct, f"{key}{'[]' if is_list else ''}."))
            continue
        default = "*required*" if field.required else f"`{_plain(field.default)}`"
        rows.append(f"| `{key}` | {type_text(hints[field.name])} | {default} | {meaning} |")
    return rows


def _section(hint: Any) -> tuple[type[msgspec.Struct], bool] | None:
    hint = _unwrapped(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint, False
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and arguments:
        first = _unwrapped(arguments[0])
        if isinstance(first, type) and issubclass(first, msgspec.Struct):
            return first, True
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        for each in arguments:
            if isinstance(each, type) and issubclass(each, msgspec.Struct):
                return each, False
    return None


def wire_page() -> str:
    """Topics and messages."""
    from skywarden import messages, topics, wire

    parts = [
        "# Wire\n",
        inspect.cleandoc(wire.__doc__ or "") + "\n",
        inspect.cleandoc(messages.__doc__ or "") + "\n",
        "## Topics\n",
        "| topic | message | policy | priority | at most | expected every |\n|---|---|---|---|---|---|",
    ]
    for topic in topics.TOPICS.values():
        period = f"{topic.period_s} s" if topic.period_s else "when it comes"
        row = f"| `{topic.name}` | {topic.message.__name__} | {topic.policy} | {topic.priority} "
        parts.append(f"{row}| {topic.max_bytes} B | {period} |")
    parts.append("\n## Messages\n")
    travelling = [topic.message for topic in topics.TOPICS.values()]
    kinds = [messages.Position, messages.Bearing, *travelling, wire.Record]
    for kind in kinds:
        parts.append(f"### {kind.__name__}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n")
        parts.append("| place | field | type | default |\n|---|---|---|---|")
        hints = typing.get_type_hints(kind, include_extras=True)
        for place, field in enumerate(msgspec.structs.fields(kind)):
            default = "" if field.required else f"`{_plain(field.default)}`"
            parts.append(f"| {place} | `{field.name}` | {type_text(hints[field.name])} | {default} |")
        parts.append("")
    return "\n".join(parts) + "\n"


def errors_page() -> str:
    """The tree of errors with exit codes."""
    from skywarden import errors

    parts = ["# Errors and exit codes\n", inspect.cleandoc(errors.__doc__ or "") + "\n"]
    parts.append("| error | is a | exit code | when |\n|---|---|---|---|")
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        parent = kind.__mro__[1].__name__
        first = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
        parts.append(f"| `{name}` | `{parent}` | {kind.exit_code} | {first} |")
    return "\n".join(parts) + "\n"


def cli_page() -> str:
    """Every command with its options, also the source of the man page."""
    from skywarden.cli import build_app

    text = build_app().generate_docs(output_format="markdown", recursive=True, heading_level=1)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).rstrip() + "\n"


def attributes_of(kind: type) -> dict[str, str]:
    """The `Attributes:` of a docstring: name to text, names that share a line each get it."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if not line.strip():
            break
        match = re.match(r"^    ([a-z0-9_]+(?:, [a-z0-9_]+)*): (.*)$", line)
        if match:
            names = match.group(1).split(", ")
            for name in names:
                found[name] = match.group(2).strip()
        else:
            for name in names:
                found[name] += " " + line.strip()
    return {name: words.replace("|", "\\|") for name, words in found.items()}


def type_text(hint: Any) -> str:
    """A type as people read it, with its limits."""
    if typing.get_origin(hint) is typing.Annotated:
        base, *notes = typing.get_args(hint)
        limits = [limit for note in notes if isinstance(note, msgspec.Meta) for limit in _limits(note)]
        return type_text(base) + (f" ({', '.join(limits)})" if limits else "")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " \\| ".join(f'"{value}"' for value in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join("none" if each is type(None) else type_text(each) for each in arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"list of {type_text(arguments[0])}"
        return f"({', '.join(type_text(each) for each in arguments)})"
    if origin is dict:
        return f"map of {type_text(arguments[0])} to {type_text(arguments[1])}"
    return {"str": "text", "float": "number", "int": "whole number", "bool": "true or false"}.get(
        getattr(hint, "__name__", ""), getattr(hint, "__name__", str(hint))
    )


def _limits(note: msgspec.Meta) -> list[str]:
    named = (("≥", note.ge), (">", note.gt), ("≤", note.le), ("<", note.lt))
    out = [f"{sign} {value:g}" for sign, value in named if value is not None]
    if note.max_length is not None:
        out.append(f"at most {note.max_length} long")
    return out


def _unwrapped(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _plain(value: Any) -> str:
    if value is msgspec.NODEFAULT:
        return "empty"
    return "empty" if value in ("", (), {}) else str(value).replace("|", "\\|")


def main() -> int:
    """Write the pages, or with --check only compare."""
    stale = []
    for name, text in pages().items():
        path = HERE / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"not what the code says: {', '.join(stale)}; run: python docs/generate.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
