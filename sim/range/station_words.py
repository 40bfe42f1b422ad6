"""What a station says of who has fallen silent, second by second of a watch: by its own judges."""

from collections.abc import Iterator, Mapping, Sequence

from ground.ais.silence import SilenceWatch
from ground.picture.live import LivePicture
from ground.picture.silence import silent_platforms
from sim.range.aboard import Notice
from sim.range.link import Delivered
from skywarden.clock import NS_PER_S

PLATFORM_WORD, AIS_WORD = "platform_silent", "ais_silent"


def station_notices(
    came: Mapping[str, Delivered], sentences: Sequence[tuple[int, bytes]], begin_ns: int, until_ns: int
) -> list[Notice]:
    """Each silence from its beginning to its end; that of AIS is nobody's: its platform is empty.

    `came` and the platform of a notice are by flight (SEASON/PLATFORM where there are seasons).
    """
    picture, watch = LivePicture(1), SilenceWatch()
    heard = sorted((time_ns, name) for name, one in came.items() for time_ns in one.heard_ns)
    lines = sorted(time_ns for time_ns, _ in sentences)
    open_ns: dict[tuple[str, str], tuple[int, str]] = {}
    found: list[Notice] = []
    at = line = 0
    for now_ns in range(begin_ns, until_ns + NS_PER_S, NS_PER_S):
        while at < len(heard) and heard[at][0] <= now_ns:
            _note(picture, *heard[at])
            at += 1
        while line < len(lines) and lines[line] <= now_ns:
            watch.note("the station", lines[line])
            line += 1
        said = dict(_said(picture, watch, now_ns))
        for key in [key for key in open_ns if key not in said]:
            found.append(_notice(key, *open_ns.pop(key), now_ns))
        for key, text in said.items():
            open_ns.setdefault(key, (now_ns, text))
    found += [_notice(key, begun_ns, text, None) for key, (begun_ns, text) in open_ns.items()]
    return sorted(found, key=lambda one: (one.begin_ns, one.platform_id, one.word))


def _note(picture: LivePicture, time_ns: int, name: str) -> None:
    picture.note_traffic(
        name, now_s=time_ns / NS_PER_S, received_ns=time_ns, sent_ns=time_ns, size=0, pending=0
    )


def _said(picture: LivePicture, watch: SilenceWatch, now_ns: int) -> Iterator[tuple[tuple[str, str], str]]:
    for name, text in silent_platforms(picture.platforms(), now_ns / NS_PER_S, now_ns).items():
        yield (name, PLATFORM_WORD), text
    for text in watch.problems(now_ns):
        yield ("", AIS_WORD), text


def _notice(key: tuple[str, str], begin_ns: int, text: str, end_ns: int | None) -> Notice:
    platform, word = key
    return Notice(
        platform_id=platform,
        component="station",
        word=word,
        state="degraded",
        begin_ns=begin_ns,
        end_ns=end_ns,
        text=text,
    )
