"""Databases below an image's VOLUME keep their rows through stops and through kill -9."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.cluster import eventually
from tests.e2e.stoppable import Stoppable, manifest

if TYPE_CHECKING:
    from tests.e2e.conftest import Make

# Looks often, and waits for a node that is slow to exec.
BUSY_NODE = {"periodSeconds": 1, "timeoutSeconds": 30}
PG_READY = {"exec": {"command": ["pg_isready", "-U", "postgres"]}, **BUSY_NODE}
RECOVERED = "automatic recovery in progress"


def postgres(make: Make, namespace: str) -> Stoppable:
    image = "localhost/test/postgres:1"
    app = make(manifest("database", namespace, image=image, readinessProbe=PG_READY))
    app.wait_ready()
    return app


def sql(app: Stoppable, statement: str) -> list[str]:
    return app.exec("psql", "-U", "postgres", "-qAtc", statement).split()


def test_postgres_keeps_its_rows(make: Make, namespace: str) -> None:
    app = postgres(make, namespace)
    sql(app, "create table kept as select n, md5(n::text) from generate_series(1, 10000) n")
    rows = "select count(*), md5(string_agg(md5, '' order by n)) from kept"
    before = sql(app, rows)
    assert before[0].startswith("10000|")
    for _ in range(2):
        app.stop()
        app.cluster.node_exec(app.node, "echo 3 > /proc/sys/vm/drop_caches")
        app.start()
        assert sql(app, rows) == before
        # Stopped by the image's STOPSIGNAL in its time, and initdb ran once.
        assert "database system was shut down at" in app.logs()
        assert RECOVERED not in app.logs()
    app.assert_on_kept_root()


def test_postgres_recovers_from_kill_9(make: Make, namespace: str) -> None:
    app = postgres(make, namespace)
    sql(app, "create table kept (n int)")
    sql(app, "insert into kept select generate_series(1, 10000)")
    app.cluster.node_exec(app.node, f"kill -9 {app.first_process()}")
    eventually(lambda: has_restarted(app), what="a restart in place", explain=app.explain)
    app.wait_ready()
    assert sql(app, "select count(*), sum(n) from kept") == ["10000|50005000"]
    assert RECOVERED in app.logs()
    sql(app, "insert into kept values (10001)")
    app.stop()
    app.start()
    assert sql(app, "select count(*) from kept") == ["10001"]
    assert RECOVERED not in app.logs()


def has_restarted(app: Stoppable) -> bool:
    """And is ready: the object may still say so of the run before."""
    pod = app.consumer() or {}
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return bool(statuses and statuses[0]["restartCount"] == 1 and statuses[0]["ready"])


def test_redis_keeps_its_keys(make: Make, namespace: str) -> None:
    # While it loads its file the answer is another one, and no error for redis-cli.
    ping = ["sh", "-c", "redis-cli ping | grep -qx PONG"]
    probe = {"exec": {"command": ping}, **BUSY_NODE}
    app = make(
        manifest(
            "keys",
            namespace,
            image="localhost/test/redis:1",
            args=["redis-server", "--appendonly", "yes"],
            readinessProbe=probe,
        )
    )
    app.wait_ready()
    fill = "for n=1,10000 do redis.call('set', 'key'..n, n) end return redis.call('dbsize')"
    assert app.exec("redis-cli", "eval", fill, "0").strip() == "10000"
    app.exec("redis-cli", "rpush", "list", "one", "two")
    app.stop()
    app.start()
    assert app.exec("redis-cli", "dbsize").strip() == "10001"
    assert app.exec("redis-cli", "mget", "key1", "key10000").split() == ["1", "10000"]
    assert app.exec("redis-cli", "lrange", "list", "0", "-1").split() == ["one", "two"]
    # From the append-only file, by the server's own user, in the folder that is a VOLUME.
    assert app.exec("stat", "-c", "%U", "/data/appendonlydir").strip() == "redis"
    assert "DB loaded from append only file" in app.logs()
