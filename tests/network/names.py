"""The name service of the hospital's proxy, which knows no name: python -m tests.network.names.

It says so at once (NXDOMAIN), but of names below "silent", to which it says nothing.
Source: RFC 1035 section 4.1.1.
"""

import socket

PORT = 53
_NO_SUCH_NAME = b"\x81\x83"  # an answer; recursion wished and available; code 3


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, socket.create_server(("127.0.0.1", PORT)):
        sock.bind(("127.0.0.1", PORT))  # the listener is there to be seen, and takes nothing
        while True:
            question, asker = sock.recvfrom(512)
            if b"\x06silent" not in question:
                sock.sendto(question[:2] + _NO_SUCH_NAME + question[4:6] + bytes(6) + question[12:], asker)


if __name__ == "__main__":
    main()
