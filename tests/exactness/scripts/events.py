"""asyncio: sockets on loopback and in the file system, subprocesses, timers, signals, an executor."""

import asyncio
import os
import signal
import sys

folder = sys.argv[1]


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def ask(connection, words):
    reader, writer = await connection
    for word in words:
        writer.write(word + b"\n")
        await writer.drain()
        assert await reader.readline() == word.upper() + b"\n"
    writer.close()
    await writer.wait_closed()
    return len(words)


async def main():
    by_tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    by_path = await asyncio.start_unix_server(serve, f"{folder}/socket")
    port = by_tcp.sockets[0].getsockname()[1]
    words = [os.urandom(20).hex().encode() for _ in range(10)]
    clients = [ask(asyncio.open_connection("127.0.0.1", port), words) for _ in range(5)]
    clients += [ask(asyncio.open_unix_connection(f"{folder}/socket"), words) for _ in range(5)]
    print(sum(await asyncio.gather(*clients)))
    program = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print((await program.communicate(b"through"))[0], program.returncode)
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(came.wait(), 10)
    print(await loop.run_in_executor(None, os.getcwd) is not None)
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except TimeoutError:
        print("timeout")
    by_tcp.close()
    by_path.close()


asyncio.run(main())
