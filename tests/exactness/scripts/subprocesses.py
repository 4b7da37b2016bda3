"""Each way in which Python starts a program: vfork, fork, posix_spawn, a shell, pipes, groups."""

# ruff: noqa: S602, S605, S606

import os
import pty
import signal
import subprocess
import sys

folder = sys.argv[1]
print(subprocess.run(["cat"], input=b"vfork", stdout=subprocess.PIPE, check=True).stdout)
print(subprocess.run(["pwd"], cwd=folder, preexec_fn=os.getpid, capture_output=True, check=True).returncode)
print(subprocess.run("echo shell | tr a-z A-Z", shell=True, capture_output=True, check=True).stdout)
print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]))
print(os.system("exit 3") >> 8, os.popen("echo popen").read())
with subprocess.Popen(["sleep", "30"], start_new_session=True) as sleeper:
    os.killpg(sleeper.pid, signal.SIGTERM)
print(sleeper.returncode)
try:
    subprocess.run(["sleep", "30"], timeout=0.05, check=False)
except subprocess.TimeoutExpired:
    print("timeout")
child = os.fork()
if child == 0:
    os._exit(7)
descriptor = os.pidfd_open(child)
print(os.waitid(os.P_PIDFD, descriptor, os.WEXITED).si_status)
child, terminal = pty.fork()
if child == 0:
    os.execlp("stty", "stty", "size")
print(len(os.read(terminal, 100)) > 0, os.waitpid(child, 0)[1])
try:
    subprocess.run(["/nonexistent/program"], check=False)
except FileNotFoundError:
    print("no such program")
