"""Prometheus metrics. `prometheus_client` is imported only where somebody can read them."""

from typing import Protocol

from mcp_server.kernel.loops import Loops


class Metrics(Protocol):
    """What the house counts."""

    def called(self, what: str, outcome: str, seconds: float) -> None:
        """One tool call or resource read ended."""
        ...

    def committed(self, events: int) -> None:
        """One commit appended so many events."""
        ...

    def watch(self, loops: Loops) -> None:
        """Count the restarts of these loops, and how many of them fail now."""
        ...

    def clock_set(self, way: str) -> None:
        """The clock was set, `ahead` or `back`."""
        ...

    def limited(self, limit: str) -> None:
        """Somebody was refused by the limit of this name."""
        ...

    def kept_out(self, reason: str) -> None:
        """Somebody was not let in."""
        ...

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus' text format."""
        ...


class NoMetrics:
    """Counts nothing: on stdio without a metrics port nobody could read it."""

    def called(self, what: str, outcome: str, seconds: float) -> None:
        """Nothing."""

    def committed(self, events: int) -> None:
        """Nothing."""

    def watch(self, loops: Loops) -> None:
        """Nothing."""

    def clock_set(self, way: str) -> None:
        """Nothing."""

    def limited(self, limit: str) -> None:
        """Nothing."""

    def kept_out(self, reason: str) -> None:
        """Nothing."""

    def text(self) -> bytes:
        """Nothing."""
        return b""


class PrometheusMetrics:
    """Counters and histograms in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self._calls = Counter(
            "datamcp_calls_total",
            "Tool calls and resource reads.",
            ["what", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "datamcp_call_seconds", "How long calls took, waiting included.", ["what"], registry=self.registry
        )
        self._of_calls: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """By name and outcome; to look for them by their labels costs more than to count."""
        self._events = Counter("datamcp_events_total", "Events appended by this process.", registry=self.registry)
        self._commits = Counter("datamcp_commits_total", "Commits made by this process.", registry=self.registry)
        self._restarts = Counter(
            "datamcp_loop_restarts_total",
            "Times a background loop ran again after a failure.",
            ["loop"],
            registry=self.registry,
        )
        self._failing = Gauge(
            "datamcp_loops_failing", "Background loops that have failed and rest now.", registry=self.registry
        )

        self._clock = Counter(
            "datamcp_clock_set_total", "Times the machine's clock was set.", ["way"], registry=self.registry
        )
        self._limited = Counter(
            "datamcp_limited_total", "Times a caller was refused for a limit.", ["limit"], registry=self.registry
        )
        self._kept_out = Counter(
            "datamcp_auth_failures_total", "Requests that were not let in.", ["reason"], registry=self.registry
        )

    def called(self, what: str, outcome: str, seconds: float) -> None:
        """One tool call or resource read ended."""
        counted = self._of_calls.get((what, outcome))
        if counted is None:
            counted = self._of_calls[what, outcome] = self._calls.labels(what, outcome), self._seconds.labels(what)
        calls, took = counted
        calls.inc()
        took.observe(seconds)

    def committed(self, events: int) -> None:
        """One commit appended so many events."""
        self._commits.inc()
        self._events.inc(events)

    def watch(self, loops: Loops) -> None:
        """Count the restarts of these loops, and how many of them fail now."""
        loops.on_restart = lambda name: self._restarts.labels(name).inc()
        self._failing.set_function(lambda: len(loops.failing()))

    def clock_set(self, way: str) -> None:
        """The clock was set, `ahead` or `back`."""
        self._clock.labels(way).inc()

    def limited(self, limit: str) -> None:
        """Somebody was refused by the limit of this name."""
        self._limited.labels(limit).inc()

    def kept_out(self, reason: str) -> None:
        """Somebody was not let in."""
        self._kept_out.labels(reason).inc()

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def serve(self, port: int) -> int:
        """Answer scrapes on loopback, in a daemon thread, of who calls this machine by a name of its own; the port."""
        from prometheus_client import start_http_server

        from mcp_server.observability.here import only_here

        server, _ = start_http_server(port, addr="127.0.0.1", registry=self.registry)
        metrics = server.get_app()
        assert metrics is not None, "it was made with one"
        server.set_app(only_here(metrics))
        return server.server_port
