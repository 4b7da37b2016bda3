"""Programs of several kinds: the text of a shell that ends by itself, with status 0 if all of it worked."""

from dataclasses import dataclass

_SERVICE = """\
import os, signal, socket, tempfile, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
# as the kubelet lays a projected volume out: the folder has a new name each time
volume = '/srv/volume'
stamp = time.strftime('..%Y_%m_%d_%H_%M_%S.') + str(time.time_ns() % 10**9)
os.makedirs(f'{volume}/{stamp}')
open(f'{volume}/{stamp}/token', 'w').write('secret')
os.symlink(stamp, f'{volume}/..data_tmp')
os.rename(f'{volume}/..data_tmp', f'{volume}/..data')
os.symlink('..data/token', f'{volume}/token')
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open(f'{volume}/token', 'rb').read())
    def log_message(self, *words):
        pass
server = HTTPServer(('127.0.0.1', 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
assert urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/').read() == b'secret'
with tempfile.TemporaryDirectory(dir='/tmp') as folder:
    with socket.socket(socket.AF_UNIX) as here, socket.socket(socket.AF_UNIX) as there:
        here.bind(f'{folder}/socket')
        here.listen()
        there.connect(f'{folder}/socket')
        here.accept()[0].close()
got = []
signal.signal(signal.SIGUSR1, lambda *words: got.append(1))
child = os.fork()
if not child:
    signal.pause()
os.kill(os.getpid(), signal.SIGUSR1)
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0)[1] == signal.SIGTERM and got
"""
_RAW = """\
import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
"""
_NGINX = """\
import time, urllib.request
for attempt in range(600):
    try:
        page = urllib.request.urlopen('http://127.0.0.1:8099/').read()
        break
    except OSError:
        time.sleep(0.1)
assert page == b'a page\\n', page
"""
_NGINX_CONF = """\
worker_processes 1;
pid /run/nginx.pid;
events { worker_connections 16; }
http { access_log /var/log/nginx/access.log;
       server { listen 127.0.0.1:8099; root /srv/page; } }
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """files: by path inside, what it needs; capabilities: beside those of each container."""

    text: str
    files: tuple[tuple[str, str], ...] = ()
    capabilities: tuple[str, ...] = ()


WORKLOADS = {
    "pipeline": Workload(
        "set -e; work=$(mktemp -d); cd $work; for each in 1 2 3; do echo $each >f$each; done; "
        "mv f1 moved; ln moved hard; ln -s moved soft; cat soft hard f2 | sort -r | tee out >/dev/null; "
        "chmod 600 out; truncate -s 1 out; mkdir -p a/b; mv a c; rm -r /tmp/tmp.*",
    ),
    "service": Workload("exec python3 -SE /srv/service.py", (("/srv/service.py", _SERVICE),)),
    "redis": Workload(
        "cd /var/lib/redis; redis-server --port 0 --unixsocket /run/redis.socket --save '' "
        "--dir /var/lib/redis --daemonize no >/dev/null & "
        "until redis-cli -s /run/redis.socket set key value >/dev/null 2>&1; do sleep 0.1; done; "
        "redis-cli -s /run/redis.socket get key && redis-cli -s /run/redis.socket shutdown nosave; wait",
    ),
    "nginx": Workload(
        "nginx -c /srv/nginx.conf; python3 -SE /srv/fetch.py && nginx -c /srv/nginx.conf -s quit; "
        "while test -e /run/nginx.pid; do sleep 0.1; done",
        (
            ("/srv/nginx.conf", _NGINX_CONF),
            ("/srv/page/index.html", "a page\n"),
            ("/srv/fetch.py", _NGINX),
        ),
    ),
    "mounts": Workload(
        "set -e; mkdir -p /srv/at /srv/bound; mount -t tmpfs none /srv/at; echo x >/srv/at/file; "
        "mount --bind /srv/at /srv/bound; cat /srv/bound/file >/dev/null; umount /srv/bound; "
        "mount -o remount,ro /srv/at; umount /srv/at",
        capabilities=("CAP_SYS_ADMIN",),
    ),
    "raw sockets": Workload(
        "exec python3 -SE /srv/raw.py", (("/srv/raw.py", _RAW),), capabilities=("CAP_NET_RAW",)
    ),
}
