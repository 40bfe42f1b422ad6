"""Every topic with its message, its policy on the link, its size limit and its period.

`durable` topics go through the outbox and reach the ground at least once; `newest` topics are sent when the
link has room and only the latest of each key matters.
"""

from dataclasses import dataclass
from typing import Literal

from skywarden import messages
from skywarden.errors import WireError

Policy = Literal["durable", "newest"]


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One stream of messages of one type.

    `priority` 0 leaves first. `period_s` is how often it is expected; older than ten periods is stale
    (`None`: comes when it comes).
    """

    name: str
    message: type[messages.Message]
    policy: Policy
    priority: int
    max_bytes: int
    period_s: float | None = None


_ALL = (
    Topic(name="sighting", message=messages.Sighting, policy="durable", priority=0, max_bytes=4_096),
    Topic(name="receipt", message=messages.TaskingReceipt, policy="durable", priority=0, max_bytes=2_048),
    Topic(name="health", message=messages.Health, policy="durable", priority=1, max_bytes=8_192),
    Topic(name="gap", message=messages.Gap, policy="durable", priority=1, max_bytes=65_536),
    Topic(name="plot", message=messages.Plot, policy="durable", priority=1, max_bytes=16_384),
    Topic(name="chip", message=messages.Chip, policy="durable", priority=2, max_bytes=262_144),
    Topic(
        name="pose", message=messages.PlatformPose, policy="newest", priority=1, max_bytes=2_048, period_s=0.5
    ),
    Topic(name="track", message=messages.Track, policy="newest", priority=1, max_bytes=4_096, period_s=0.5),
    Topic(
        name="frame", message=messages.FrameInfo, policy="newest", priority=2, max_bytes=4_096, period_s=0.5
    ),
    Topic(
        name="gimbal", message=messages.GimbalPose, policy="newest", priority=3, max_bytes=2_048, period_s=0.5
    ),
    Topic(name="detections", message=messages.Detections, policy="newest", priority=4, max_bytes=131_072),
    Topic(
        name="clock", message=messages.ClockReport, policy="newest", priority=1, max_bytes=512, period_s=30.0
    ),
    Topic(name="look", message=messages.Look, policy="newest", priority=9, max_bytes=65_536),
    Topic(name="ack", message=messages.Ack, policy="newest", priority=0, max_bytes=8_192),
    Topic(name="tasking", message=messages.Tasking, policy="newest", priority=0, max_bytes=16_384),
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _ALL}
_BY_MESSAGE: dict[type[messages.Message], Topic] = {topic.message: topic for topic in _ALL}


def topic_named(name: str) -> Topic:
    """The topic called `name`; raises `WireError` when there is none."""
    try:
        return TOPICS[name]
    except KeyError:
        raise WireError(f"unknown topic {name[:40]!r}; known are {', '.join(sorted(TOPICS))}") from None


def topic_of(message: messages.Message) -> Topic:
    """The topic that carries messages of this type; raises `WireError` for a type that never travels."""
    try:
        return _BY_MESSAGE[type(message)]
    except KeyError:
        raise WireError(f"{type(message).__name__} travels on no topic") from None
