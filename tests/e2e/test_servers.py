"""Servers and their many processes are there again after a start, and serve what was changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.e2e.cluster import Object, eventually
from tests.e2e.stoppable import Stoppable, manifest

if TYPE_CHECKING:
    from tests.e2e.conftest import Make

PROCESSES = """
import json
from pathlib import Path

found = []
for folder in Path("/proc").glob("[0-9]*"):
    try:
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        command = (folder / "cmdline").read_text().replace("\\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        continue  # it ended meanwhile
    pid = int(folder.name)
    found.append({"pid": pid, "parent": int(parent), "state": state, "command": command})
print(json.dumps(found))
"""


def page(app: Stoppable, port: int = 80, path: str = "") -> str:
    """What another machine gets from the container's address."""
    address = f"/api/v1/namespaces/{app.namespace}/pods/{app.name}:{port}/proxy/{path}"
    return app.cluster.kubectl("get", "--raw", address)


def test_nginx_serves_a_page_that_was_changed_by_hand(make: Make, namespace: str) -> None:
    probe = {"httpGet": {"port": 80}, "periodSeconds": 1}
    app = make(manifest("web", namespace, image="nginx:latest", readinessProbe=probe))
    app.wait_ready()
    assert "Welcome to nginx" in page(app)
    app.sh("echo changed > /var/www/html/index.html")
    app.sh("echo 'server { listen 8080; root /srv; }' > /etc/nginx/conf.d/more.conf")
    app.sh("echo other > /srv/index.html")
    assert page(app).strip() == "changed"
    app.stop()
    app.start()
    assert page(app).strip() == "changed"
    assert page(app, 8080).strip() == "other"
    assert "GET / HTTP" in app.logs()


def processes(app: Stoppable) -> list[Object]:
    """Each process with pid, parent, state and command."""
    return list(json.loads(app.exec("python3", "-c", PROCESSES)))


def assert_all_there(app: Stoppable) -> None:
    def look() -> bool:
        said = [one["command"] for one in processes(app)]
        wanted = ("cron", "supervisord", "http.server", "/srv/beat")
        return all(any(part in command for command in said) for part in wanted)

    eventually(look, what="all processes", explain=lambda: str(processes(app)))
    # supervisor says RUNNING of a program that has lived for a second.
    eventually(
        lambda: app.sh("supervisorctl status || true").count("RUNNING") == 2,
        what="supervisor's programs running",
        explain=app.logs,
    )
    # And it says so of a server that does not listen yet.
    eventually(
        lambda: re.search(r":0050 \S+ 0A ", app.sh("cat /proc/net/tcp*")), what="port 80 served"
    )
    # Empty for a moment each time when it is written.
    beat = eventually(lambda: page(app, path="beat").split(), what="a beat")
    assert float(beat[0]) > 0


def test_many_processes_without_systemd(make: Make, namespace: str) -> None:
    app = make(manifest("many", namespace, image="localhost/test/supervised:1"))
    app.wait_ready()
    assert_all_there(app)
    app.stop()
    app.start()
    assert_all_there(app)
    # Its pid files and sockets stay as well, and none of the programs had the time to remove them.
    app.cluster.node_exec(app.node, f"kill -9 {app.first_process()}")

    def has_restarted() -> bool:
        status = (app.consumer() or {})["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == 1 and status["ready"])

    eventually(has_restarted, what="a restart in place", explain=app.explain)
    app.wait_ready()
    assert_all_there(app)

    # Orphans: their parents end first, and the container's first process inherits them.
    app.sh("for n in 1 2 3 4 5; do (sleep 1000000 > /dev/null 2>&1 &); done")

    def orphans() -> list[Object]:
        return [one for one in processes(app) if one["command"] == "sleep 1000000"]

    eventually(
        lambda: [one["parent"] for one in orphans()] == [1] * 5,
        what="five orphans",
        deadline=60,
        explain=lambda: str(processes(app)),
    )
    left = {one["pid"] for one in orphans()}
    app.sh(f"kill -9 {' '.join(map(str, left))}")
    eventually(
        lambda: left.isdisjoint(one["pid"] for one in processes(app)),
        what="all orphans reaped",
        deadline=60,
        explain=lambda: str(processes(app)),
    )
    # Other programs' children are zombies for a moment, too, until their parent has looked.
    eventually(
        lambda: all(one["state"] != "Z" for one in processes(app)),
        what="no zombie",
        deadline=60,
        explain=lambda: str(processes(app)),
    )
