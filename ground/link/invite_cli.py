"""`skywarden ground invite`: a one-time code with which one platform enrols itself."""

import socket
import sys
import time

from ground.station.options import USUAL, StationFiles
from skywarden.errors import LinkError, UsageError


def invite(
    platform: str,
    *,
    listen: str = "0.0.0.0:5691",
    minutes: float = 15.0,
    replace: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Show a one-time code and wait until PLATFORM has enrolled with it, aboard, by `skywarden keys enrol`.

    Say or type the code there; five wrong ones end it, and so does its time. The port is open only meanwhile;
    a running station needs no restart. Exits with 69 when nobody came.

    For example:

        skywarden ground invite uav07
        skywarden ground invite uav07 --listen 10.0.0.5:5691 --minutes 5

    Parameters
    ----------
    platform
        The platform's id, as in its edge.toml.
    listen
        HOST:PORT to wait at; port 0 takes a free one.
    minutes
        How long the code is good, at most 60.
    replace
        Put its keys in place of those that are enrolled.
    json
        Print two JSON objects: `code`, `listen` and `station_fingerprint` at once; then `platform_id`,
        `fingerprint` and `evidence_fingerprint`.
    """
    import json as json_module

    from ground.config import host_and_port
    from ground.link.authenticator import AllowList, enrol
    from ground.link.invitation import Invitation
    from ground.link.key_files import file_of
    from ground.station.places import authorized_dir, server_key_path
    from skywarden.link import keys
    from skywarden.link.enrolment import Hello, new_code, read_code

    if not 0.1 <= minutes <= 60.0:
        raise UsageError(f"--minutes {minutes:g}: a code is good for 0.1 to 60 minutes")
    state_dir = station.state_dir()
    folder = authorized_dir(state_dir)
    file_of(folder, platform)
    if not replace and any(one.platform_id == platform for one in AllowList(folder).enrolled()):
        raise UsageError(f"{platform} is enrolled; --replace puts other keys in place of its own")
    own_key = keys.load_or_create_key_file(server_key_path(state_dir))

    def let_in(hello: Hello) -> None:
        signers = (hello.evidence_key,)
        enrol(folder, platform, hello.link_key, evidence_keys=signers, replace=replace)

    code = new_code()
    invitation = Invitation(read_code(code), platform, own_key.public, let_in)
    with _listening(*host_and_port(listen, "--listen")) as listening:
        place = f"{listen.rpartition(':')[0]}:{listening.getsockname()[1]}"
        shown = {"code": code, "listen": place, "station_fingerprint": own_key.fingerprint}
        _say(json_module.dumps(shown) if json else _invitation_text(shown, platform, minutes))
        hello = invitation.wait(listening, minutes)
    found = {
        "platform_id": platform,
        "fingerprint": keys.fingerprint(hello.link_key),
        "evidence_fingerprint": keys.fingerprint(hello.evidence_key),
    }
    lines = f"{platform} is let in\nits fingerprint   {found['fingerprint']}\n"
    lines += f"its evidence key  {found['evidence_fingerprint']}"
    _say(json_module.dumps(found) if json else lines)
    return 0


def _invitation_text(shown: dict[str, str], platform: str, minutes: float) -> str:
    until = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + 60.0 * minutes))
    return (
        f"code for {platform}: {shown['code']}   good once, until {until}\n"
        f"aboard: skywarden keys enrol {shown['listen']} {platform} --key KEY\n"
        f"station's fingerprint: {shown['station_fingerprint']}"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(16)
    except OSError as error:
        listening.close()
        raise LinkError(f"{host}:{port} cannot be used ({error.strerror})") from error
    return listening
