"""TOML into frozen structs, once: unknown keys and bad values are refused with their path.

Order of precedence: environment variable over file over default. A variable is named
`SKYWARDEN_SECTION__KEY` (two underscores for nesting): `SKYWARDEN_EDGE__MAVLINK__CONNECTION` sets
`mavlink.connection` of the edge's file.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from skywarden.errors import ConfigError

MAX_CONFIG_BYTES = 1_000_000


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every configuration section. Subclasses restate the three options."""


ConfigT = TypeVar("ConfigT", bound=Config)


def load_config(
    kind: type[ConfigT], path: Path | None, *, prefix: str, environ: Mapping[str, str] | None = None
) -> ConfigT:
    """Read `path` (or only defaults when `None`) into `kind`, with overrides `SKYWARDEN_{prefix}__...`.

    Raises `ConfigError`, naming file and key, on anything that does not fit.
    """
    tree: dict[str, Any] = {} if path is None else _read_toml(path)
    origin = "the defaults" if path is None else str(path)
    overrides = _overrides(os.environ if environ is None else environ, prefix)
    for keys, text in overrides.items():
        _set(tree, keys, text)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}") from error


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _overrides(environ: Mapping[str, str], prefix: str) -> dict[tuple[str, ...], str]:
    start = f"SKYWARDEN_{prefix.upper()}__"
    return {
        tuple(part.lower() for part in name.removeprefix(start).split("__")): environ[name]
        for name in sorted(environ)
        if name.startswith(start)
    }


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
    except tomllib.TOMLDecodeError:
        return text
