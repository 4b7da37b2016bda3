"""SQLite with a write-ahead log, two connections, a writing thread, a back-up and vacuum. Status 0."""

import os
import signal
import sqlite3
import sys
import tempfile
import threading

# not print, which it may interrupt
signal.signal(signal.SIGUSR1, lambda number, frame: os.write(1, b"signal\n"))


def wait_for_line(said):
    print(said, flush=True)
    if not sys.stdin.readline():
        os._exit(1)


wait_for_line("ready")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "data.db")
    one = sqlite3.connect(path)
    print(one.execute("pragma journal_mode=wal").fetchone())
    one.execute("create table t (id integer primary key, k text, v blob)")
    one.commit()

    def write():
        two = sqlite3.connect(path)
        for n in range(10):
            with two:
                two.executemany("insert into t (k, v) values (?, ?)", [(f"b{n}", b"y" * 50)] * 50)
        two.close()

    with one:
        one.executemany(
            "insert into t (k, v) values (?, ?)", [(f"k{n % 13}", b"x" * 100) for n in range(5000)]
        )
    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    one.execute("create index i on t (k)")
    print(one.execute("select count(*), sum(length(v)) from t").fetchone())
    print(one.execute("select k, count(*) from t group by k order by k limit 3").fetchall())
    with one:
        one.execute("delete from t where id % 3 = 0")
    one.execute("vacuum")
    copy = sqlite3.connect(os.path.join(folder, "copy.db"))
    one.backup(copy)
    print(copy.execute("pragma integrity_check").fetchone())
    copy.execute("pragma journal_mode=delete")
    with copy:
        copy.execute("update t set k = 'z' where k = 'k1'")
    copy.close()
    one.close()
    print(sorted(os.listdir(folder)))
wait_for_line("worked")
print("done", flush=True)
