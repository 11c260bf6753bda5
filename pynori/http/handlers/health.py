"""For balancers, people and Prometheus: quick and full health, metrics."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import TEXT, Response, json_response
from pynori.server import health

METRICS = b"text/plain; version=1.0.0; charset=utf-8"


def quick(request: Request) -> Response:
    """OK or UNAVAILABLE, for balancers."""
    status, body = health.quick(request.server)
    return Response(status, body, content_type=TEXT)


def full(request: Request) -> Response:
    """Health of node, shards and databases."""
    return json_response(health.full(request.server))


def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text form."""
    request.listener.count_all()
    return Response(200, request.server.metrics.render(), content_type=METRICS)
