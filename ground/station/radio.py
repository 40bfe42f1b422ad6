"""The station's ear: authenticator, receiver, datagrams, telemetry radio, in the order that is safe."""

import os
from dataclasses import dataclass

import structlog
import zmq

from ground.config import host_and_port
from ground.link.admission import allow_many_connections
from ground.link.authenticator import AllowList, Authenticator, prove_refusal
from ground.link.datagram_port import DatagramPort
from ground.link.intake import EvidencePolicy
from ground.link.receiver import Receiver
from ground.link.thin_link import ThinLinkPort, ThinReader
from ground.problems import StationProblems
from ground.station.memory import Foundation, Memory
from skywarden.errors import LinkError
from skywarden.link import keys
from skywarden.link.datagram_session import Gate

_log = structlog.get_logger("ground.serve")


@dataclass(frozen=True, kw_only=True, slots=True)
class Radio:
    """The link as it listens at `address`; `problems` gathers what is wrong with the whole station."""

    receiver: Receiver
    authenticator: Authenticator
    address: str
    problems: StationProblems


def start_radio(base: Foundation, memory: Memory) -> Radio:
    """Authenticator first, then the proof that a stranger is refused, then the port, then reception."""
    config, parts = base.config, base.parts
    link = host_and_port(config.link, "link")
    allow_many_connections()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    parts.add("zeromq", lambda: context.destroy(linger=0))
    authenticator = Authenticator(context, base.allow_list)
    parts.add("authenticator", authenticator.stop)
    authenticator.start()
    datagrams = _datagram_port(base.server_key, base.allow_list) if config.datagrams else None
    if datagrams is not None:
        parts.add("datagrams", datagrams.stop)
    policy: EvidencePolicy = config.evidence
    receiver = Receiver(
        context,
        base.server_key,
        base.allow_list,
        memory.store,
        memory.picture,
        base.clock,
        policy,
        datagrams=datagrams,
        mark=base.mark,
        precedence=memory.precedence,
    )
    parts.add("receiver", receiver.stop)
    _prove_door(context, receiver, base.server_key, authenticator)
    address = receiver.bind(*link)
    port = int(address.rpartition(":")[2])
    is_bound = datagrams is not None and _bind_datagrams(datagrams, link, port)
    receiver.start()
    problems = StationProblems(
        receiver,
        authenticator,
        lambda: base.clock.monotonic_ns() / 1e9,
        datagrams=datagrams if is_bound else None,
        thin=_start_thin_link(base, receiver),
        store_warnings=memory.store.warnings,
    )
    problems.others.append(receiver.problems)
    return Radio(receiver=receiver, authenticator=authenticator, address=address, problems=problems)


def _start_thin_link(base: Foundation, receiver: Receiver) -> ThinLinkPort | None:
    """The telemetry radio, where the station's file names one."""
    if not base.config.thin_link.connection:
        return None
    reader = ThinReader(base.server_key.secret, base.allow_list.enrolled)
    thin = ThinLinkPort(base.config.thin_link, reader, receiver.take_thin, base.clock)
    base.parts.add("thin link", thin.stop)
    thin.start()
    return thin


def _datagram_port(server_key: keys.KeyPair, allow_list: AllowList) -> DatagramPort:
    gate = Gate(
        secret=server_key.secret,
        public=server_key.public,
        platform_of=allow_list.platform_of,
        entropy=os.urandom,
    )
    return DatagramPort(gate)


def _bind_datagrams(datagrams: DatagramPort, link: tuple[str, int], port: int) -> bool:
    """Listen for datagrams on the same port number; one that was chosen freely may be taken there (False)."""
    try:
        datagrams.bind(link[0], port)
    except LinkError as error:
        if link[1]:
            raise
        _log.warning("no datagrams", reason=str(error))
        return False
    datagrams.start()
    return True


def _prove_door(
    context: zmq.Context[zmq.Socket[bytes]],
    receiver: Receiver,
    server_key: keys.KeyPair,
    authenticator: Authenticator,
) -> None:
    """The very socket that will serve refuses a stranger on an address that only this machine reaches."""
    address = receiver.bind("127.0.0.1", 0)
    prove_refusal(context, f"tcp://{address}", server_key.public, authenticator)
    receiver.unbind(address)
