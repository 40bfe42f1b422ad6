"""The ground station's settings: one TOML file, every key with a default, so that none is needed."""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ground.accounts.doorkeeper import AccountsConfig
from ground.ais.config import AisConfig
from ground.alerts.config import AlertsConfig
from ground.link.thin_link import ThinLinkConfig
from ground.mavlink_out.config import MavlinkOutConfig
from ground.tak.config import TakFeedConfig
from ground.upkeep.keeper import RetentionConfig
from skywarden.config import Config
from skywarden.errors import ConfigError

HostPort = Annotated[str, Meta(min_length=3, max_length=255)]


class ContactsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When tracks of several platforms and sorties are believed to be one contact.

    Attributes:
        gate_probability: of the two-dimensional gate; a true pair is inside it in so many cases.
        max_distance_m: tracks farther apart than this are never joined, however uncertain they are.
        max_sigma_m: a track less certain than this joins nothing (several contacts would fit).
        max_gap_s: a mobile label is joined across a pause of at most so long.
        standing_gap_s: the same for two tracks of which their platforms say that they stand.
        speed_sigma_mps: how fast mobile things are, one sigma per axis, before anything is measured.
        shared_share: part of a single look's variance that the looks of its platform share (heading,
            boresight, GNSS) or all looks (height of the surface); only the rest is each look's own.
        bias_time_s: correlation time of what a platform's looks share.
        lasting_share: part of that variance which never changes (boresight, mounting).
        gnss_sigma_m: part of a look's error, per axis, that lies in the platform's own place.
        manoeuvre_m2ps3: spectral density of the white acceleration of mobile things.
        window_s: looks so long before the newest tell where a mobile thing is.
        horizon_s: tracks that ended earlier than this before the newest are kept but not compared again.
    """

    gate_probability: Annotated[float, Meta(ge=0.5, le=0.9999)] = 0.99
    max_distance_m: Annotated[float, Meta(ge=1.0, le=100_000.0)] = 250.0
    max_sigma_m: Annotated[float, Meta(ge=1.0, le=100_000.0)] = 150.0
    max_gap_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 180.0
    standing_gap_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 21_600.0
    speed_sigma_mps: Annotated[float, Meta(ge=0.1, le=100.0)] = 8.0
    shared_share: Annotated[float, Meta(ge=0.0, le=0.99)] = 0.9
    bias_time_s: Annotated[float, Meta(ge=1.0, le=100_000.0)] = 40.0
    lasting_share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    gnss_sigma_m: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.5
    manoeuvre_m2ps3: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.02
    window_s: Annotated[float, Meta(ge=2.0, le=600.0)] = 60.0
    horizon_s: Annotated[float, Meta(ge=60.0, le=10_000_000.0)] = 86_400.0


class GroundConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one ground station needs to know.

    Attributes:
        state: folder for store, keys and the list of platforms let in; empty for
            `$XDG_STATE_HOME/skywarden/ground` (under systemd its state folder).
        http: address and port of console and API; port 0 takes a free one.
        link: address and port where platforms connect; 0.0.0.0:5690 for all networks; port 0 a free one.
        datagrams: take platforms in over UDP too, on the port of `link`: for radios on which TCP starves.
        layers: folder of map layers (`NAME.geojson`, `NAME.pmtiles`; images with a `NAME.json`); empty for
            `layers` in `state`.
        console: folder of the built console; empty for the one that came with the package.
        evidence: what becomes of records that no enrolled evidence key signed: "quarantine" keeps them aside
            and leaves them aboard too; "accept" stores them unsigned, for platforms that have no such key
            enrolled.
        exercise: this station is an exercise: its folder is marked so for ever, and everything that it shows
            and sends says EXERCISE.
        insecure_http: allow `http` on an address that others can reach without TLS: passwords and the picture
            then go over the network for everybody to read.
        accounts: how long people stay signed in, and how much one of them may ask.
        thin_link: a telemetry radio on which platforms send sightings when they have no IP link.
        contacts: when tracks become one contact.
        alerts: who else is told of alerts.
        ais: receivers of AIS, and how contacts are held against what they hear.
        mavlink_out: MAVLink ground stations that are told of contacts, each a table `[[mavlink_out]]`.
        tak: feeds to TAK clients and servers, each a table `[[tak]]`.
        retention: how long what was received is kept; without days in it nothing is erased.
    """

    state: Annotated[str, Meta(max_length=4096)] = ""
    http: HostPort = "127.0.0.1:8600"
    link: HostPort = "127.0.0.1:5690"
    datagrams: bool = True
    layers: Annotated[str, Meta(max_length=4096)] = ""
    console: Annotated[str, Meta(max_length=4096)] = ""
    evidence: Literal["quarantine", "accept"] = "quarantine"
    exercise: bool = False
    insecure_http: bool = False
    accounts: AccountsConfig = AccountsConfig()
    thin_link: ThinLinkConfig = ThinLinkConfig()
    contacts: ContactsConfig = ContactsConfig()
    alerts: AlertsConfig = AlertsConfig()
    ais: AisConfig = AisConfig()
    mavlink_out: Annotated[tuple[MavlinkOutConfig, ...], Meta(max_length=8)] = ()
    tak: Annotated[tuple[TakFeedConfig, ...], Meta(max_length=8)] = ()
    retention: RetentionConfig = RetentionConfig()

    def state_dir(self) -> Path:
        """The folder for store, keys and platforms."""
        if self.state:
            return Path(self.state)
        if systemd := os.environ.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0]) / "ground"
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return Path(base) / "skywarden" / "ground"

    def layers_dir(self) -> Path:
        """The folder of map layers."""
        return Path(self.layers) if self.layers else self.state_dir() / "layers"

    def console_dir(self) -> Path:
        """The folder of the built console."""
        return Path(self.console) if self.console else Path(__file__).parent / "console" / "dist"


def host_and_port(text: str, key: str) -> tuple[str, int]:
    """`HOST:PORT` as its two parts (brackets round an IPv6 address are dropped); raises `ConfigError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{key} = {text!r} is not HOST:PORT, such as 127.0.0.1:8600")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    return host in ("localhost", "::1") or host.startswith("127.")
