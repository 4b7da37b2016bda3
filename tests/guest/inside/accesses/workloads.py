"""Programs of several kinds: the text of a shell that ends by itself, with status 0 if all of it worked."""

from dataclasses import dataclass

_SERVICE = """\
import os, tempfile, threading, time, urllib.request
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
with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
    os.link(file.name, f'{folder}/linked')
"""
_PEERS = """\
import os, signal, socket, tempfile
got = []
signal.signal(signal.SIGUSR1, lambda *words: got.append(1))
with tempfile.TemporaryDirectory(dir='/tmp') as folder:
    for address in (f'{folder}/socket', '\\0of the workload'):
        with socket.socket(socket.AF_UNIX) as here, socket.socket(socket.AF_UNIX) as there:
            here.bind(address)
            here.listen()
            there.connect(address)
            accepted = here.accept()[0]
            socket.send_fds(there, [b'x'], [0])
            os.close(socket.recv_fds(accepted, 1, 1)[1][0])
            accepted.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(f'{folder}/datagrams')
        datagrams.sendto(b'x', f'{folder}/datagrams')
        assert datagrams.recv(1) == b'x'
ours, theirs = socket.socketpair()
child = os.fork()
if not child:
    theirs.send(b'there')
    while True:
        signal.pause()
assert ours.recv(5) == b'there'
os.kill(os.getpid(), signal.SIGUSR1)
os.kill(child, 0)
os.kill(child, signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
os.kill(child, signal.SIGCONT)
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0)[1] == signal.SIGTERM and got
"""
_RAW = """\
import os, socket, struct
def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as ping:
    echo = struct.pack('!BBHHH', 8, 0, 0, os.getpid(), 1)
    ping.sendto(echo[:2] + struct.pack('!H', checksum(echo)) + echo[4:], ('127.0.0.1', 0))
    ping.settimeout(60)
    while ping.recv(64)[20:21] != b'\\0':
        pass
socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
"""
_POSTGRES = """\
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PATH LC_ALL=C PGHOST=/var/lib/postgresql PGDATABASE=postgres
cd /var/lib/postgresql
initdb -D data -A trust --no-sync --no-locale -E UTF8 --wal-segsize=1 >log
settings='-c listen_addresses= -c shared_buffers=4MB -c autovacuum=off -c fsync=off'
pg_ctl -D data -s -w -t 600 -l log -o "-k $PGHOST $settings" start
psql -q -c 'create table t as select i, md5(i::text) m from generate_series(1, 300) i' \\
    -c 'create index on t (m)' \\
    -c "copy t to '$PGHOST/rows'" -c 'delete from t where i % 3 = 0' -c 'vacuum t' -c checkpoint
test "$(psql -At -c 'select count(*) from t')" = 200
pg_ctl -D data -s -w -t 600 -m fast stop
"""
_CONTROL = """\
Package: round-trip
Version: 1.0
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: a package of a program, a setting and a script
"""
_POSTINST = """\
#!/bin/sh
set -e
echo "$1" >/var/lib/round-trip/configured
chmod 600 /var/lib/round-trip/configured
"""
_PACKAGE = """\
set -e
dpkg-deb --root-owner-group -Znone --build /srv/package /srv/round-trip.deb
dpkg --install /srv/round-trip.deb
test "$(round-trip)" = set
rm /var/lib/round-trip/configured
dpkg --purge round-trip
test ! -e /usr/bin/round-trip
"""
_MAKEFILE = """\
program: main.o libpart.a
	$(CC) -o $@ $^
libpart.a: part.o
	$(AR) rcs $@ $^
"""
_MAIN = """\
#include <stdio.h>
int part(void);
int main(void) { printf("%d\\n", part()); return 0; }
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
    """files: by path inside, what it needs, programs begin with `#!`.

    capabilities: beside those of each container. missing: what the abstract form has no word for.
    works: whether what abstractions/base has makes up for that. slow: it takes half a minute in a guest.
    """

    text: str
    files: tuple[tuple[str, str], ...] = ()
    capabilities: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    works: bool = True
    slow: bool = False


# What waits does so at least once: a program that the recorded run had no need of is denied to the next
WORKLOADS = {
    "pipeline": Workload(
        "set -e; work=$(mktemp -d); cd $work; for each in 1 2 3; do echo $each >f$each; done; "
        "mv f1 moved; ln moved hard; ln -s moved soft; cat soft hard f2 | sort -r | tee out >/dev/null; "
        "echo more >>out; chmod 600 out; truncate -s 1 out; mkdir -p a/b; mv a c; rm -r /tmp/tmp.*; "
        "echo $$ >/tmp/work.$$; rm /tmp/work.$$",
    ),
    "service": Workload(
        "exec python3 -SE /srv/service.py", (("/srv/service.py", _SERVICE),), missing=("UNIX sockets",)
    ),
    "sockets and signals": Workload(
        "exec python3 -SE /srv/peers.py", (("/srv/peers.py", _PEERS),), missing=("UNIX sockets", "signals")
    ),
    "redis": Workload(
        "cd /var/lib/redis; redis-server --port 0 --unixsocket /run/redis.socket --save '' --appendonly yes "
        "--dir /var/lib/redis --daemonize no >/dev/null & "
        'ask() { redis-cli -s /run/redis.socket "$@"; }; '
        "while sleep 0.1; ! ask set key value >/dev/null 2>&1; do :; done; ask bgsave; "
        "while sleep 0.1; ! ask info persistence | grep -q bgsave_in_progress:0; do :; done; "
        'test "$(ask get key)" = value && ask shutdown save; wait; test -e dump.rdb',
        missing=("UNIX sockets",),
    ),
    "nginx": Workload(
        "nginx -c /srv/nginx.conf; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 60 - TCP4:127.0.0.1:8099 | "
        "grep -x 'a page' && nginx -c /srv/nginx.conf -s quit && "
        "while sleep 0.1; test -e /run/nginx.pid; do :; done",
        (("/srv/nginx.conf", _NGINX_CONF), ("/srv/page/index.html", "a page\n")),
        missing=("UNIX sockets", "signals"),
    ),
    "postgres": Workload(
        "exec setpriv --reuid postgres --regid postgres --clear-groups sh /srv/postgres.sh",
        (("/srv/postgres.sh", _POSTGRES),),
        missing=("UNIX sockets", "signals"),
        slow=True,
    ),
    "package": Workload(
        "exec sh /srv/package.sh",
        (
            ("/srv/package.sh", _PACKAGE),
            ("/srv/package/DEBIAN/control", _CONTROL),
            ("/srv/package/DEBIAN/conffiles", "/etc/round-trip\n"),
            ("/srv/package/DEBIAN/postinst", _POSTINST),
            ("/srv/package/etc/round-trip", "set\n"),
            ("/srv/package/usr/bin/round-trip", "#!/bin/sh\nexec cat /etc/round-trip\n"),
            ("/srv/package/var/lib/round-trip/empty", ""),
        ),
        missing=("UNIX sockets",),
    ),
    "compile": Workload(
        'set -e; cd /srv/source; make -s -j2; test "$(./program)" = 42',
        (
            ("/srv/source/Makefile", _MAKEFILE),
            ("/srv/source/main.c", _MAIN),
            ("/srv/source/part.c", "int part(void) { return 42; }\n"),
        ),
    ),
    "mounts": Workload(
        "set -e; mkdir -p /srv/at /srv/bound; mount -t tmpfs none /srv/at; echo x >/srv/at/file; "
        "mount --bind /srv/at /srv/bound; cat /srv/bound/file >/dev/null; umount /srv/bound; "
        "mount -o remount,ro /srv/at; umount /srv/at",
        capabilities=("CAP_SYS_ADMIN",),
        missing=("mount, umount and pivot_root",),
        works=False,
    ),
    "raw sockets": Workload(
        "exec python3 -SE /srv/raw.py", (("/srv/raw.py", _RAW),), capabilities=("CAP_NET_RAW",)
    ),
}
