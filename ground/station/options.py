"""The options by which every `skywarden ground` command finds its station: one group, read in one way."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from ground.config import GroundConfig


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class StationFiles:
    """Where a command's station keeps its things; on a command line `--state` and `--config`."""

    state: Annotated[Path | None, Parameter(help="The station's state folder, as for `ground serve`.")] = None
    config: Annotated[Path | None, Parameter(help="The station's TOML file, as for `ground serve`.")] = None

    def settings(self) -> "GroundConfig":
        """File and environment, then the state folder of the command line. Raises `ConfigError`."""
        import msgspec

        from ground.config import GroundConfig
        from skywarden.config import find_config, load_config

        loaded = load_config(GroundConfig, self.config or find_config("ground.toml"), prefix="GROUND")
        return loaded if self.state is None else msgspec.structs.replace(loaded, state=str(self.state))

    def state_dir(self) -> Path:
        """The state folder in force. Raises `ConfigError`."""
        return self.settings().state_dir()


USUAL = StationFiles()
"""Neither option given."""
