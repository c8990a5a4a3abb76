"""A TLS server on the federation's host: python -m tests.network.echo PORT CERTIFICATE. It answers with its port."""

import asyncio
import contextlib
import ssl
import sys


async def serve(port: int, certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.readline():
                writer.write(b"%d\n" % port)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port, ssl=context) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
