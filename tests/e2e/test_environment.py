"""A kept pod says when the ConfigMaps and Secrets of its variables have changed since."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, pod_manifest

if TYPE_CHECKING:
    from typing import Any

    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

KIND = "EnvironmentCurrent"
SAYS = ["sh", "-c", "env > /env; exec sleep 1000000"]
FROM_SETTINGS = {"configMapRef": {"name": "settings"}}


def warm(namespace: str, **container: Any) -> Object:
    wanted = pod_manifest("kept", namespace, {"command": SAYS, **container})
    wanted["spec"]["stopMode"] = "Warm"
    return wanted


def write(cluster: Cluster, namespace: str, colour: str) -> None:
    about = {"apiVersion": "v1", "metadata": {"name": "settings", "namespace": namespace}}
    cluster.apply({**about, "kind": "ConfigMap", "data": {"COLOUR": colour}})


def write_later(app: Stoppable) -> str:
    """Changes the ConfigMap in a later second than the container's first, and gives the value."""
    pod = app.consumer()
    assert pod
    made = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    numbers = count()

    def written() -> str:
        colour = f"red{next(numbers)}"
        write(app.cluster, app.namespace, colour)
        found = app.cluster.get("configmap", "settings", app.namespace) or {}
        times = [one["time"] for one in found["metadata"]["managedFields"]]
        return colour if max(times) > made else ""

    return eventually(written, what="a change after the container's first second")


def wait_colour(app: Stoppable, colour: str) -> None:
    eventually(
        lambda: f"COLOUR={colour}\n" in app.exec("cat", "/env"),
        what=f"a command with COLOUR={colour}",
        deadline=20,
        explain=app.explain,
    )


def test_changed_sources_are_named_until_a_cold_start_takes_them(
    make: Make, namespace: str, cluster: Cluster
) -> None:
    write(cluster, namespace, "blue")
    app = make(warm(namespace, envFrom=[FROM_SETTINGS]))
    app.wait_ready()
    app.wait_condition(KIND, "True", "UpToDate", deadline=20)
    colour = write_later(app)
    app.rest()
    told = app.wait_condition(KIND, "False", "SourcesChanged", deadline=20)
    assert "ConfigMap settings" in told["message"]
    app.exec("rm", "/env")
    app.start()
    assert app.get()["status"]["lastStart"]["mode"] == "Warm"
    eventually(lambda: "env" in app.exec("ls", "/").split(), what="the command's variables")
    wait_colour(app, "blue")
    assert condition(app.get(), KIND)["reason"] == "SourcesChanged"

    app.patch(stopMode="Cold")
    app.stop()
    app.start()
    wait_colour(app, colour)
    assert condition(app.get(), KIND) == {}
    app.patch(stopMode="Warm")
    app.stop()
    app.start()
    app.wait_condition(KIND, "True", "UpToDate", deadline=20)


def test_a_container_that_kubelet_made_anew_is_up_to_date(
    make: Make, namespace: str, cluster: Cluster
) -> None:
    write(cluster, namespace, "blue")
    script = "env > /env; until [ -e /dev/end ]; do sleep 0.1; done; exit 3"
    app = make(warm(namespace, envFrom=[FROM_SETTINGS], command=["sh", "-c", script]))
    app.wait_ready()
    colour = write_later(app)
    app.rest()
    app.wait_condition(KIND, "False", "SourcesChanged", deadline=20)
    app.start()
    app.exec("touch", "/dev/end")
    wait_anew(app)
    wait_colour(app, colour)
    app.wait_condition(KIND, "True", "UpToDate", deadline=20)


def wait_anew(app: Stoppable) -> None:
    def anew() -> bool:
        pod = app.consumer() or {"status": {"containerStatuses": [{}]}}
        return app.is_ready() and pod["status"]["containerStatuses"][0].get("restartCount") == 1

    eventually(anew, what="run again in a new container", explain=app.explain)


def test_secrets_are_unknown_where_the_chart_does_not_let_them_be_looked_at(
    make: Make, namespace: str, cluster: Cluster
) -> None:
    write(cluster, namespace, "blue")
    about = {"apiVersion": "v1", "metadata": {"name": "db", "namespace": namespace}}
    cluster.apply({**about, "kind": "Secret", "stringData": {"PASSWORD": "1"}})
    sources = [FROM_SETTINGS, {"secretRef": {"name": "db"}}]
    app = make(warm(namespace, command=HOLD, envFrom=sources))
    app.wait_ready()
    told = app.wait_condition(KIND, "Unknown", "NotAllowed", deadline=20)
    assert "Secret db" in told["message"]
    write_later(app)
    app.rest()
    told = app.wait_condition(KIND, "False", "SourcesChanged", deadline=20)
    assert "Secret" not in told["message"]
