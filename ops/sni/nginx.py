"""The configuration of nginx (1.18 or later, with its stream module) for one port in front of the brokers.

Knows:    nginx counts an address's connections, and not how fast they come: `source_connects` is HAProxy's alone.
Source:   nginx's modules ngx_stream_ssl_preread_module, ngx_stream_map_module, ngx_stream_limit_conn_module.
"""

from collections.abc import Mapping

from ops.sni.routes import Limits, routes

_HEAD = """\
# Written by wardround. TCP alone: TLS goes end to end to the brokers, no key and no certificate lies here.
include /etc/nginx/modules-enabled/*.conf;
worker_rlimit_nofile {files};

events {{
    worker_connections {worker_connections};
}}

stream {{
    log_format federation '$remote_addr [$time_iso8601] "$ssl_preread_server_name" $upstream_addr $status '
                          '$session_time $bytes_sent $bytes_received';
    access_log /dev/stdout federation;

    limit_conn_zone $binary_remote_addr zone=source:10m;
    map_hash_bucket_size 512;
    map $ssl_preread_server_name $broker {{
        default nobody;
"""
_SERVER = """\
    }}

    server {{
        listen {bind}:{port} so_keepalive=60s:15s:4;
        ssl_preread on;
        preread_timeout 5s;
        limit_conn source {limits.source_connections};
        proxy_pass $broker;
        proxy_connect_timeout 5s;
        # a fetch waits for records, and a site may have nothing to say for long: shorter times cut idle connections
        proxy_timeout 1h;
        proxy_socket_keepalive on;
        tcp_nodelay on;
    }}

    upstream nobody {{
        server 127.0.0.1:9 down;
    }}
"""


def nginx_config(
    port: int,
    brokers: Mapping[str, str],
    *,
    bootstrap: str = "",
    bind: str = "*",
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> str:
    """nginx.conf, whole. Arguments and errors as `haproxy_config`'s."""
    found = routes(port, brokers, bootstrap)
    files = 2 * limits.connections  # one to the client, one to the broker
    lines = [_HEAD.format(worker_connections=files, files=files + 256)]
    lines += [f"        {name} broker_{i};\n" for i, name in enumerate(found)]
    lines.append(_SERVER.format(bind=bind, port=port, limits=limits))
    for i, targets in enumerate(found.values()):
        servers = "".join(f"        server {target};\n" for target in targets)
        lines.append(f"\n    upstream broker_{i} {{\n{servers}    }}\n")
    return "".join([*lines, "}\n"])
