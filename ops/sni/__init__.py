"""One port for a whole federation: a TCP proxy in front of the brokers that tells them apart by the name in TLS (SNI).

Hospitals' firewalls and proxies let port 443 out and little else. TLS stays end to end: the proxy holds no key and no
certificate, and a broker's advertised name is one that it routes.
"""

from ops.sni.haproxy import haproxy_config
from ops.sni.nginx import nginx_config
from ops.sni.routes import Limits

__all__ = ["Limits", "haproxy_config", "nginx_config"]
