"""Who sends what to a machine: python -m tests.network.seen INTERFACE FILE. It notes "source destination:port" once.

Only IPv4 counts, and only what comes in. The port is that of TCP or UDP, 0 for anything else.
"""

import socket
import struct
import sys
from pathlib import Path

_IPV4, _OUTGOING = 0x0800, 4
_WITH_PORTS = (6, 17)


def main() -> None:
    interface, path = sys.argv[1], Path(sys.argv[2])
    seen: set[str] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV4)) as sock, path.open("a") as file:
        sock.bind((interface, _IPV4))
        file.write("looking\n")
        file.flush()
        while True:
            packet, (_, _, kind, *_) = sock.recvfrom(128)
            if kind == _OUTGOING or len(packet) < 20:
                continue
            head = 4 * (packet[0] & 15)
            source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            port = struct.unpack_from("!H", packet, head + 2)[0] if packet[9] in _WITH_PORTS else 0
            if (line := f"{source} {target}:{port}") not in seen:
                seen.add(line)
                file.write(f"{line}\n")
                file.flush()


if __name__ == "__main__":
    main()
