"""`/metrics` of a service, served by prometheus-client in one thread of its own."""

import structlog
from prometheus_client import CollectorRegistry, start_http_server

from schemas.errors import LocalError

log = structlog.get_logger()


def serve(registry: CollectorRegistry, host: str, port: int) -> int:
    """Serve `registry` at http://host:port/metrics; port 0 takes a free one. Returns the port.

    Raises LocalError when the port is in use.
    """
    try:
        server, _thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise LocalError(
            f"metrics port {host}:{port} cannot be opened ({error.strerror})",
            hint="set metrics.port to a free port, or 0 for any",
        ) from None
    log.info("metrics", url=f"http://{host}:{server.server_port}/metrics")
    return int(server.server_port)
