"""The configuration of HAProxy (2.6 or later) for one port in front of the brokers.

Source:   HAProxy's configuration manual: req.ssl_sni, stick-table, tcp-request, clitcpka-idle.
"""

from collections.abc import Mapping

from ops.sni.routes import Limits, routes

_HEAD = """\
# Written by wardround. TCP alone: TLS goes end to end to the brokers, no key and no certificate lies here.
global
    maxconn {limits.connections}
    log stdout format raw local0{runs_as}

defaults
    mode tcp
    log global
    # a fetch waits for records, and a site may have nothing to say for long: shorter times cut idle connections
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout client-fin 30s
    timeout server-fin 30s
    option clitcpka
    option srvtcpka
    clitcpka-idle 60s
    clitcpka-intvl 15s
    clitcpka-cnt 4
    srvtcpka-idle 60s
    srvtcpka-intvl 15s
    srvtcpka-cnt 4

frontend federation
    bind {bind}:{port}
    maxconn {limits.connections}
    log-format "%ci:%cp [%t] %{{+Q,+E}}[var(sess.sni)] %b/%s %Tw/%Tc/%Tt %B %ts %ac"
    stick-table type ipv6 size 100k expire 1m store conn_cur,conn_rate(10s)
    tcp-request connection track-sc0 src
    tcp-request connection reject if {{ sc0_conn_cur gt {limits.source_connections} }}
    tcp-request connection reject if {{ sc0_conn_rate gt {limits.source_connects} }}
    tcp-request inspect-delay 5s
    tcp-request content reject unless {{ req.ssl_hello_type 1 }}
    tcp-request content set-var(sess.sni) req.ssl_sni
    tcp-request content reject unless {{ req.ssl_sni -i {names} }}
"""


def haproxy_config(
    port: int,
    brokers: Mapping[str, str],
    *,
    bootstrap: str = "",
    bind: str = "*",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    user: str = "haproxy",
) -> str:
    """haproxy.cfg, whole.

    brokers    advertised name -> "host:port" where that broker listens; both as TLS and Kafka name them
    bootstrap  a name that leads to any broker, for first connections; empty for none
    bind       the address to listen on
    user       whom HAProxy becomes once it listens; empty where it starts as its own user, as in its container

    Raises LocalError where a name or an address is none.
    """
    found = routes(port, brokers, bootstrap)
    runs_as = f"\n    user {user}\n    group {user}" if user else ""
    lines = [_HEAD.format(limits=limits, runs_as=runs_as, bind=bind, port=port, names=" ".join(found))]
    lines += [f"    use_backend {name} if {{ req.ssl_sni -i {name} }}\n" for name in found]
    for name, targets in found.items():
        lines.append(f"\nbackend {name}\n    option redispatch 1\n")
        lines += [f"    server {i} {target}\n" for i, target in enumerate(targets, 1)]
    return "".join(lines)
