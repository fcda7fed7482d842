# SPDX-License-Identifier: GPL-2.0
"""Echoes lines on a TCP port, with asyncio."""

import asyncio


async def echo(reader, writer):
    """Echoes the lines of one connection."""
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def main():
    """Serves for ever."""
    server = await asyncio.start_server(echo, "0.0.0.0", 8084, limit=1 << 20)
    await server.serve_forever()


asyncio.run(main())
