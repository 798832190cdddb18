"""What a server counts of itself, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def histogram(name: str, about: str) -> Histogram:
            return Histogram(name, about, ["model"], registry=registry, buckets=SECONDS)

        self.requests = Counter(
            "tubelet_requests", "Answered requests", ["route", "model", "status"], registry=registry
        )
        self.waited = histogram(
            "tubelet_waiting_seconds", "That an answer waited for a decoder and the model"
        )
        self.decoded = histogram("tubelet_decoding_seconds", "That a child took for a video")
        self.computed = histogram("tubelet_model_seconds", "That the model took for a batch")
        self.batch = Histogram(
            "tubelet_batch_clips", "Clips that went through the model together", ["model"],
            registry=registry, buckets=(1, 2, 4, 8, 16, 32, 64),
        )  # fmt: skip
        self.queue = Gauge(
            "tubelet_queue_clips", "Clips that wait for the model", ["model"], registry=registry
        )
        self.accepted = Gauge(
            "tubelet_in_flight", "Requests that are accepted and not answered", registry=registry
        )
        self.killed = Counter(
            "tubelet_decoders_killed",
            "Decoding children that did not end well",
            ["reason"],
            registry=registry,
        )

    def text(self) -> bytes:
        """In the format that Prometheus reads."""
        return generate_latest(self.registry)
