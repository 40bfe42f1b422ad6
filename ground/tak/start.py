"""Puts the feeds to TAK of a station together."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ground.ais.watch import AisWatch
from ground.exercise.mark import REAL, Mark
from ground.picture.live import LivePicture
from ground.review.desk import ReviewDesk
from ground.store.reading import StoreReader
from ground.tak.config import TakFeedConfig
from ground.tak.memory import memory_path
from ground.tak.offers import StationOffers
from ground.tak.worker import TakFeed
from skywarden.clock import Clock

Add = Callable[[str, Callable[[], None]], None]
"""Takes a part's name and how to end it; what was added last ends first."""


class TakFeeds:
    """All feeds of a station."""

    def __init__(self, feeds: Sequence[TakFeed]) -> None:
        self.feeds = tuple(feeds)

    def problems(self) -> list[str]:
        """Sentences for the station's notices."""
        return [sentence for feed in self.feeds for sentence in feed.problems()]

    def metrics(self) -> Iterable[Metric]:
        """For Prometheus."""
        if not self.feeds:
            return
        sent = CounterMetricFamily("skywarden_tak_events", "Events sent.", labels=["url"])
        too_large = CounterMetricFamily(
            "skywarden_tak_too_large", "Events too large for a datagram.", labels=["url"]
        )
        lost = CounterMetricFamily(
            "skywarden_tak_lost_connections", "Connections that ended.", labels=["url"]
        )
        receivers = GaugeMetricFamily("skywarden_tak_receivers", "Who is connected now.", labels=["url"])
        waiting = GaugeMetricFamily("skywarden_tak_waiting", "Events over the rate.", labels=["url"])
        for feed in self.feeds:
            url = [feed.config.url]
            sent.add_metric(url, feed.counts.sent)
            too_large.add_metric(url, feed.counts.too_large)
            lost.add_metric(url, feed.counts.lost_connections)
            receivers.add_metric(url, feed.receivers)
            waiting.add_metric(url, feed.waiting)
        yield from (sent, too_large, lost, receivers, waiting)


def start_tak(
    state_dir: Path,
    configs: Sequence[TakFeedConfig],
    store: StoreReader,
    picture: LivePicture,
    review: ReviewDesk,
    ais: AisWatch | None,
    clock: Clock,
    add: Add,
    mark: Mark = REAL,
) -> TakFeeds:
    """The feeds, running; raises `ConfigError` and `LinkError` when one cannot begin."""
    feeds = []
    for number, config in enumerate(configs):
        offers = StationOffers(config, store, picture, review, ais, mark)
        feed = TakFeed(config, offers.at, clock, number, memory=memory_path(state_dir, config.url))
        add(f"TAK {config.url}", feed.stop)
        feed.start()
        feeds.append(feed)
    return TakFeeds(feeds)
