"""TOML into frozen structs, once: unknown keys and bad values are refused with their path.

Order of precedence: environment variable over file over default. A variable is named
`SKYWARDEN_SECTION__KEY` (two underscores for nesting): `SKYWARDEN_EDGE__MAVLINK__CONNECTION` sets
`mavlink.connection` of the edge's file.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from skywarden.errors import ConfigError

MAX_CONFIG_BYTES = 1_000_000
_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/@\s]*@")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every configuration section. Subclasses restate the three options."""


ConfigT = TypeVar("ConfigT", bound=Config)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key in force: its dotted path (`sensor[0].camera.url`), its value, and where that came from.

    `origin` is "default", the path of the file, or the name of the environment variable.
    """

    key: str
    value: Any
    origin: str


def load_config(
    kind: type[ConfigT], path: Path | None, *, prefix: str, environ: Mapping[str, str] | None = None
) -> ConfigT:
    """Read `path` (or only defaults when `None`) into `kind`, with overrides `SKYWARDEN_{prefix}__...`.

    Raises `ConfigError`, naming file and key, on anything that does not fit.
    """
    tree: dict[str, Any] = {} if path is None else _read_toml(path)
    origins = ["the defaults" if path is None else str(path)]
    overrides = _overrides(os.environ if environ is None else environ, prefix)
    for keys, text in overrides.items():
        _set(tree, keys, text)
        origins.append(_variable(prefix, keys))
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{' with '.join(origins)}: {error}") from error


def explain_config(
    kind: type[ConfigT], path: Path | None, *, prefix: str, environ: Mapping[str, str] | None = None
) -> list[Setting]:
    """Every key that `load_config` would put in force, in the order of the structs, with its origin.

    Raises `ConfigError` as `load_config` does. Passwords in addresses are masked.
    """
    config = load_config(kind, path, prefix=prefix, environ=environ)
    in_file = set(dict(_leaves({} if path is None else _read_toml(path))))
    overrides = _overrides(os.environ if environ is None else environ, prefix)
    found = []
    for keys, value in _leaves(to_tree(config)):
        origin = "default"
        if path is not None and keys in in_file:
            origin = str(path)
        for count in range(len(keys), 0, -1):
            if keys[:count] in overrides:
                origin = _variable(prefix, keys[:count])
                break
        shown = _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value
        found.append(Setting(key=_dotted(keys), value=shown, origin=origin))
    return found


def find_config(name: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """Where `name` (such as `ground.toml`) is looked for when the command line names no file.

    `$XDG_CONFIG_HOME/skywarden/` (`~/.config/skywarden/`) comes before `/etc/skywarden/`; `None` when
    neither has it.
    """
    found = os.environ if environ is None else environ
    own = found.get("XDG_CONFIG_HOME") or str(Path(found.get("HOME") or "/") / ".config")
    for folder in (Path(own) / "skywarden", Path("/etc/skywarden")):
        try:
            if (folder / name).is_file():
                return folder / name
        except PermissionError:
            continue
    return None


def to_tree(config: Config) -> dict[str, Any]:
    """The effective values as plain nested objects, for `config show` and the reference page."""
    tree = msgspec.to_builtins(config)
    assert isinstance(tree, dict)
    return tree


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes is over the limit of {MAX_CONFIG_BYTES}")
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _overrides(environ: Mapping[str, str], prefix: str) -> dict[tuple[str, ...], str]:
    start = f"SKYWARDEN_{prefix.upper()}__"
    return {
        tuple(part.lower() for part in name.removeprefix(start).split("__")): environ[name]
        for name in sorted(environ)
        if name.startswith(start)
    }


def _variable(prefix: str, keys: tuple[str, ...]) -> str:
    return f"SKYWARDEN_{prefix.upper()}__{'__'.join(key.upper() for key in keys)}"


def _leaves(value: Any, keys: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value that is no section, by its keys; a list of sections counts them with "0", "1" and on."""
    if isinstance(value, dict) and (value or not keys):
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*keys, key))]
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, (*keys, str(number)))]
    return [(keys, value)]


def _dotted(keys: tuple[str, ...]) -> str:
    return "".join(f"[{key}]" if key.isdigit() else f".{key}" for key in keys).removeprefix(".")


def _set(tree: dict[str, Any], keys: tuple[str, ...], text: str) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"environment variable for {'.'.join(keys)}: {key} is not a section")
        tree = below
    tree[keys[-1]] = _parsed(text)


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
