"""Threads with locks, queues, timers, files and signals."""

import concurrent.futures
import hashlib
import os
import queue
import signal
import sys
import threading
import time

folder = sys.argv[1]
work: queue.Queue = queue.Queue()
done = []
lock = threading.Lock()


def consume():
    while (item := work.get()) is not None:
        digest = hashlib.sha256(os.urandom(1000) * item).hexdigest()
        with lock:
            done.append(digest)


threads = [threading.Thread(target=consume) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(200):
    work.put(number)
for _ in threads:
    work.put(None)
for thread in threads:
    thread.join()


def write(number):
    with open(f"{folder}/{number}", "w") as file:
        file.write("x" * number)
        file.flush()
        os.fsync(file.fileno())
    return os.stat(f"{folder}/{number}").st_size


with concurrent.futures.ThreadPoolExecutor(3) as pool:
    total = sum(pool.map(write, range(20)))
fired = threading.Event()
threading.Timer(0.01, fired.set).start()
fired.wait(10)
signal.signal(signal.SIGUSR1, lambda *_: done.append("signal"))
signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
condition = threading.Condition()
with condition:
    condition.wait(0.01)
time.sleep(0.001)
print(len(done), total, threading.active_count())
