"""Serves metrics to Prometheus over HTTP, in threads of its own: a scrape never waits on the event loop.

It is off unless asked for. Numbers only, no questions, answers or names; but whoever reads them knows how much is going
on, so the rule beyond this machine is that of every listener: TLS, or the explicit word; and a token, where there are
tokens.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from common.errors import SettingsError
from common.metrics import Family, Histogram, Kind, Read
from common.metrics_door import MetricsTls, behind_tokens, tls_for
from common.security import Security, is_local
from common.settings import check_address, require

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Published

log = logging.getLogger("eventspec.metrics")

_READ_TIMEOUT_S = 5.0
_MOST_AT_ONCE = 8


def check_metrics(address: str, security: Security) -> None:
    """Raise SettingsError if metrics can't be served there, or may not."""
    if not address:
        return
    require(not address.startswith("unix:"), "metrics are served over HTTP: --metrics HOST:PORT")
    check_address("metrics", address)
    require(
        is_local(address) or bool(security.tls.cert) or security.insecure,
        f"metrics on {address} would be told to anyone: keep them on 127.0.0.1, give --tls-cert and --tls-key, or say "
        "--insecure if the network is one that you trust",
    )


class MetricsServer:
    """An HTTP server that answers every GET with the families that `read` has at that moment."""

    def __init__(self, address: str, read: Read, security: Security | None = None) -> None:
        """Listen.

        Raises:
            SettingsError: the address can't be listened on, or a file of TLS or the tokens' makes no sense.
        """
        from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

        registry = CollectorRegistry()
        registry.register(_Collector(read))
        ProcessCollector(registry=registry)
        security = security or Security()
        app = behind_tokens(make_wsgi_app(registry), address, security)
        tls = tls_for(address, security)
        host, _, port = address.rpartition(":")
        try:
            server = make_server(host.strip("[]"), int(port), app, server_class=_Server, handler_class=_Handler)
        except OSError as error:
            raise SettingsError(f"can't serve metrics on {address} ({error.strerror}): choose another") from error
        server.tls = tls
        self._server = server
        self.address = f"{host}:{server.server_port}"
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics on %s://%s/metrics", "https" if tls is not None else "http", self.address)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a scrape, and not many at a time: who connects and says nothing holds one for a few seconds."""

    daemon_threads = True
    block_on_close = False
    tls: MetricsTls | None = None
    _places = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def process_request(self, request: object, client_address: object) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(self._secured(request), client_address)  # type: ignore[arg-type]
        except OSError:  # of the handshake
            self.shutdown_request(request)  # type: ignore[arg-type]
        finally:
            self._places.release()

    def _secured(self, request: object) -> object:
        """The connection after its handshake, in the scrape's own thread."""
        assert isinstance(request, socket.socket)
        if self.tls is None:
            return request
        request.settimeout(_READ_TIMEOUT_S)
        return self.tls.context.wrap_socket(request, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a scrape ended early", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = _READ_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Scrapes come every few seconds, and aren't told."""

    def address_string(self) -> str:
        return str(self.client_address[0])  # no look-up of names


class _Collector:
    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterable[Published]:
        return [_published(family) for family in self._read()]

    def describe(self) -> Iterable[Published]:
        return []


def _published(family: Family) -> Published:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    metric = family.metric
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in family.values.items():
            assert isinstance(value, Histogram)
            histogram.add_metric(labels, value.buckets, value.sum_us / 1e6)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    plain = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in family.values.items():
        assert not isinstance(value, Histogram)
        plain.add_metric(labels, float(value))
    return plain
