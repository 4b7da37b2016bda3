"""nginx.py FOLDER NGINX: a master with two workers serves files, is reloaded, and quits.

It makes itself a daemon and outlives this script for a moment.
"""

import http.client
import socket
import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
user nobody nogroup;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    gzip on;
    gzip_types text/plain;
    server {{
        listen unix:{folder}/socket;
        root {folder}/www;
        location /again/ {{ proxy_pass http://unix:{folder}/socket:/; }}
        location /list/ {{ alias {folder}/www/; autoindex on; }}
    }}
}}
"""


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(f"{folder}/socket")


def ask(path, gzip=False, repetitions=1):
    connection = Connection("localhost", timeout=60)
    for _ in range(repetitions):
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"} if gzip else {})
        answer = connection.getresponse()
        answer.read()
    connection.close()
    return answer.status


folder, program = Path(sys.argv[1]), sys.argv[2]
(folder / "www").mkdir()
(folder / "www/file.txt").write_text("some text\n" * 20_000)
(folder / "conf").write_text(CONFIGURATION.format(folder=folder))
nginx = [program, "-c", str(folder / "conf"), "-e", str(folder / "error.log")]
subprocess.run([*nginx, "-t", "-q"], check=True)
subprocess.run(nginx, check=True)
found = [ask("/file.txt", repetitions=20), ask("/file.txt", gzip=True), ask("/none"), ask("/again/file.txt")]
found.append(ask("/list/"))
subprocess.run([*nginx, "-s", "reload"], check=True)
found.append(ask("/file.txt"))
subprocess.run([*nginx, "-s", "quit"], check=True)
print(*found)
