"""nginx with two workers: files, ranges, gzip, a proxy, errors; then a graceful end. Status 0.

Its own signal is SIGALRM, which the master handles by doing nothing.
"""

import http.client
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

folder = Path(tempfile.mkdtemp())
folder.chmod(0o755)
(folder / "html").mkdir()
(folder / "html/small.txt").write_text("small\n")
(folder / "html/large.bin").write_bytes(bytes(3_000_000))
configuration = folder / "nginx.conf"
shutil.copyfile(Path(__file__).with_name("nginx.conf"), configuration)
server = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(configuration)])


def fetch(path, headers=None, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", 8080)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, len(content)


def wait_for_line(said):
    print(said, flush=True)
    if not sys.stdin.readline():
        sys.exit(1)


while True:
    time.sleep(0.02)  # at least once, so that every recording has it
    try:
        fetch("/small.txt")
        break
    except ConnectionRefusedError:
        continue
wait_for_line("ready")

for _ in range(20):
    assert fetch("/small.txt") == (200, 6)
print(*fetch("/large.bin"), *fetch("/large.bin", {"Range": "bytes=5-99"}))
print(*fetch("/none"), *fetch("/small.txt", method="POST", body=bytes(200_000)))
print(*fetch("/upstream/small.txt"), *fetch("/large.bin", {"Accept-Encoding": "gzip"})[:1])
# so much that the proxy must wait for more of it: how it reads a short answer is chance
print(*fetch("/upstream/large.bin"))
kept = http.client.HTTPConnection("127.0.0.1", 8080)
for _ in range(20):
    kept.request("GET", "/small.txt")
    kept.getresponse().read()
kept.close()

wait_for_line("worked")
server.send_signal(signal.SIGQUIT)
print("server", server.wait(), flush=True)
