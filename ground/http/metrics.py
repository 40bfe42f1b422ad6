"""`/metrics` of the ground station for Prometheus."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ground.link.authenticator import Authenticator
from ground.link.receiver import Receiver
from ground.picture.live import LivePicture
from ground.store.reading import StoreReader
from skywarden.clock import Clock


class _GroundCollector(Collector):
    def __init__(
        self,
        receiver: Receiver,
        authenticator: Authenticator,
        picture: LivePicture,
        store: StoreReader,
        clock: Clock,
        others: Sequence[Callable[[], Iterable[Metric]]],
    ) -> None:
        self._receiver = receiver
        self._authenticator = authenticator
        self._picture = picture
        self._store = store
        self._clock = clock
        self._others = tuple(others)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        counts = self._receiver.counts
        for field in fields(counts):
            yield CounterMetricFamily(
                f"skywarden_ground_{field.name}",
                f"Of the link: {field.name.replace('_', ' ')}.",
                value=getattr(counts, field.name),
            )
        yield CounterMetricFamily(
            "skywarden_ground_peers_refused",
            "Connections refused by the ZAP handler.",
            value=self._authenticator.refused,
        )
        yield GaugeMetricFamily(
            "skywarden_ground_store_ok",
            "1 while records are committed.",
            value=float(self._receiver.store_problem is None),
        )
        yield GaugeMetricFamily(
            "skywarden_ground_contacts_behind_seconds",
            "How far contacts are behind what is stored.",
            value=self._receiver.contacts_behind_s,
        )
        stored = self._store.counts()
        for name in ("contacts", "sightings", "chips", "quarantined"):
            yield GaugeMetricFamily(
                f"skywarden_ground_stored_{name}", f"How many {name} the store holds.", getattr(stored, name)
            )
        yield from self._of_platforms()
        for source in self._others:
            yield from source()

    def _of_platforms(self) -> Iterable[Metric]:
        now_s, now_ns = self._clock.monotonic_ns() / 1e9, self._clock.utc_ns()
        age = GaugeMetricFamily(
            "skywarden_platform_age_seconds", "Since it was heard.", labels=["platform_id"]
        )
        missing = GaugeMetricFamily(
            "skywarden_platform_missing", "Numbers not (yet) here.", labels=["platform_id"]
        )
        pending = GaugeMetricFamily(
            "skywarden_platform_pending", "Records that wait aboard.", labels=["platform_id"]
        )
        for state in self._picture.platforms():
            age_s = state.age_s(now_s, now_ns)
            if age_s is not None:
                age.add_metric([state.platform_id], age_s)
            missing.add_metric([state.platform_id], state.link.missing)
            pending.add_metric([state.platform_id], state.link.pending)
        yield from (age, missing, pending)


class GroundMetrics:
    """Renders the station's metrics in Prometheus' text form."""

    def __init__(
        self,
        receiver: Receiver,
        authenticator: Authenticator,
        picture: LivePicture,
        store: StoreReader,
        clock: Clock,
        others: Sequence[Callable[[], Iterable[Metric]]] = (),
    ) -> None:
        """`others` are asked too, each time that somebody asks."""
        self._registry = CollectorRegistry()
        self._registry.register(_GroundCollector(receiver, authenticator, picture, store, clock, others))

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)
