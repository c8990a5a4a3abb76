"""One connection: python -m tests.network.client HOST:PORT CERTIFICATE [PROXY [USER PASSWORD_FILE]].

It says {"said": ...} as JSON, or {"error": kind, "text": ..., "patience_s": ..., "s": ...} of what did not work.
"""

import asyncio
import json
import os
import ssl
import sys
import time
from pathlib import Path

from transport.dialing import Proxy, ProxyChoice, loop_factory
from transport.dialing import connect as connecting

DIRECT_S = 3.0


async def ask(host: str, port: int, certificate: str) -> str:
    context = ssl.create_default_context(cafile=certificate)
    async with asyncio.timeout(DIRECT_S if len(sys.argv) < 4 else None):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.write(b"\n")
    said = await reader.readline()
    writer.close()
    return said.decode().strip()


def main() -> None:
    target, certificate, *through = sys.argv[1:]
    host, _, target_port = target.rpartition(":")
    choice = ProxyChoice()
    if through:
        address, _, port = through[0].rpartition(":")
        user = (through[1], Path(through[2])) if through[1:] else ()
        choice = ProxyChoice("named", Proxy(address, int(port), *user))
    connecting.ANSWER_S = float(os.environ.get("ANSWER_S", connecting.ANSWER_S))
    started = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=loop_factory(choice)) as runner:
            found: dict[str, object] = {"said": runner.run(ask(host, int(target_port), certificate))}
    except (OSError, TimeoutError) as error:
        patience_s = getattr(error, "patience_s", None)
        found = {"error": type(error).__name__, "text": str(error), "patience_s": patience_s}
    print(json.dumps(found | {"s": round(time.monotonic() - started, 2)}))


if __name__ == "__main__":
    main()
