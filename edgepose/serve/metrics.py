"""What `/metrics` counts, in a registry of its own for every server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # the form that every version of Prometheus reads


class Metrics:
    """Counters, for any thread. In = out + dropped for frames, at every moment when no frame is in work."""

    def __init__(self, facts: list[dict[str, str]]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "edgepose_requests", "Requests answered; WebSockets that ended.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "edgepose_request_seconds", "From the request to its answer.", ["route"], buckets=SECONDS, registry=registry
        )
        self.frame_seconds = Histogram(
            "edgepose_frame_seconds", "From a frame's arrival to its answer.", buckets=SECONDS, registry=registry
        )
        self.inference_seconds = Histogram(
            "edgepose_inference_seconds", "Models' time per picture.", buckets=SECONDS, registry=registry
        )
        self.people = Counter("edgepose_people", "People found.", registry=registry)
        self.frames_received = Counter("edgepose_frames_received", "Frames that came in.", registry=registry)
        self.frames_answered = Counter("edgepose_frames_answered", "Frames whose people went out.", registry=registry)
        self.frames_dropped = Counter(
            "edgepose_frames_dropped", "Frames a newer one replaced, or nobody waits for.", registry=registry
        )
        self.in_flight = Gauge("edgepose_requests_in_flight", "Requests being answered.", registry=registry)
        self.connections = Gauge("edgepose_connections", "Open WebSockets.", registry=registry)
        self.waiting = Gauge("edgepose_waiting", "Pictures waiting for the model.", registry=registry)
        info = Gauge("edgepose_model_info", "The models that run.", list(facts[0]), registry=registry)
        for model in facts:
            info.labels(**model).set(1)
        ProcessCollector(registry=registry)  # memory, CPU time, file descriptors: on Linux

    def text(self) -> bytes:
        """In Prometheus' text form."""
        return generate_latest(self.registry)
