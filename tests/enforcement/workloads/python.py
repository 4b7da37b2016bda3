"""Threads, subprocesses, asyncio with TCP and a child, files and a memory map. Status 5."""

import asyncio
import contextlib
import hashlib
import mmap
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading

HOUR = 3600

# not print, which it may interrupt
signal.signal(signal.SIGUSR1, lambda number, frame: os.write(1, b"signal\n"))
idle = threading.Event()


def sleep():
    # Python runs handlers in the main thread, and nothing wakes that if another takes the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    idle.wait(HOUR)


sleeper = threading.Thread(target=sleep)
sleeper.start()


def wait_for_line(said):
    print(said, flush=True)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.poll(HOUR * 1000)
    if not os.read(0, 1024).endswith(b"\n"):
        os._exit(1)


def threads():
    done = queue.Queue()

    def work(number):
        data = str(number).encode() * 200_000
        done.put((number, hashlib.sha256(data).hexdigest()[:8]))

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(sorted(done.get() for _ in workers))


def subprocesses():
    lines = "".join(f"{n * 7919 % 1009}\n" for n in range(1000))
    done = subprocess.run(["sort", "-n"], input=lines, capture_output=True, text=True, check=True)
    print(done.stdout.split()[:3])
    with subprocess.Popen(["sh", "-c", "cat; exit 6"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        print(cat.communicate(b"piped"), cat.returncode)
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "60"], timeout=0.05, check=True)


async def echo(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


async def network():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def ask(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"line {n}\n".encode())
        answer = await reader.readline()
        writer.close()
        return answer

    print(await asyncio.gather(*map(ask, range(5))))
    child = await asyncio.create_subprocess_exec("wc", "-c", stdin=-1, stdout=-1)
    print(await child.communicate(bytes(300_000)))
    await asyncio.sleep(0.01)
    print(await asyncio.to_thread(sum, range(1000)))
    server.close()
    await server.wait_closed()


def files():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with open(path, "wb+") as file:
            file.write(bytes(8192))
            file.flush()
            os.fsync(file.fileno())
            with mmap.mmap(file.fileno(), 0) as memory:
                memory[:5] = b"mmap\n"
                memory.flush()
        os.rename(path, path + ".new")
        with open(path + ".new", "rb") as file:
            print(file.readline(), os.listdir(folder))
    left, right = socket.socketpair()
    left.sendall(b"pair")
    print(right.recv(4))


wait_for_line("ready")
threads()
subprocesses()
asyncio.run(network())
files()
wait_for_line("worked")
idle.set()
sleeper.join()
print("done", flush=True)
sys.exit(5)
