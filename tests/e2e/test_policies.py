"""A changed template on the real cluster: when it applies, and what another image does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import STATE_DIR, eventually
from tests.e2e.stoppable import HOLD, manifest
from tests.e2e.test_persistence import leftovers

if TYPE_CHECKING:
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

OTHER = "localhost/test/volume:1"  # busybox and a folder /data with a file of its own


def patch(app: Stoppable, **spec: Any) -> None:
    body = json.dumps({"spec": spec})
    app.cluster.kubectl("-n", app.namespace, "patch", "stc", app.name, "--type=merge", "-p", body)


def image(name: str) -> dict[str, Any]:
    return {"container": {"image": name}}


def provider_image(app: Stoppable) -> str:
    spec = (app.provider() or {}).get("spec", {"containers": [{"image": ""}]})
    return str(spec["containers"][0]["image"])


def pod_uid(app: Stoppable) -> str:
    return str((app.consumer() or {"metadata": {"uid": ""}})["metadata"]["uid"])


def test_a_changed_template_waits_for_the_next_start_and_is_mirrored_at_once(
    make: Make, namespace: str
) -> None:
    app = make(manifest("waits", namespace, command=HOLD))
    app.wait_ready()
    before = pod_uid(app)
    patch(app, template={"container": {"env": [{"name": "NEW", "value": "yes"}]}})
    app.wait_condition("UpdatePending", "True", "TemplateChanged")
    template = app.get()["spec"]["template"]
    # The parent's status is written first, for it is what people wait for.
    eventually(
        lambda: (app.instance() or {"spec": {}})["spec"].get("template") == template,
        what="the instance's template",
        deadline=30,
        explain=app.explain,
    )
    assert pod_uid(app) == before
    app.stop()
    app.start()
    assert app.sh("echo $NEW").strip() == "yes"
    app.wait_condition("UpdatePending", "False", "UpToDate")


def test_policy_restart_applies_it_at_once_and_keeps_the_data(make: Make, namespace: str) -> None:
    wanted = manifest("restarts", namespace, command=HOLD)
    wanted["spec"]["updatePolicy"] = "Restart"
    app = make(wanted)
    app.wait_ready()
    digest, before = app.write_marker(), pod_uid(app)
    patch(app, template={"container": {"env": [{"name": "NEW", "value": "yes"}]}})
    eventually(lambda: pod_uid(app) not in ("", before), what="a new pod", explain=app.explain)
    app.wait_ready()
    assert app.sh("echo $NEW").strip() == "yes"
    app.assert_marker(digest)
    app.assert_on_kept_root()


def test_a_changed_image_keeps_the_root_and_says_both_digests(make: Make, namespace: str) -> None:
    app = make(manifest("keeps", namespace, command=HOLD))
    app.wait_ready()
    digest = app.write_marker()
    patch(app, template=image(OTHER))
    seen = app.wait_condition("UpdatePending", "True", "ImageChanged")
    assert app.get()["status"]["imageDigest"] in seen["message"]
    assert OTHER in seen["message"]
    app.stop()
    app.start()
    app.assert_marker(digest)
    assert "data" not in app.exec("ls", "/")


def test_policy_reset_makes_a_new_root_and_drops_the_old_one_when_it_has_started(
    make: Make, namespace: str
) -> None:
    wanted = manifest("resets", namespace, command=HOLD)
    wanted["spec"]["imageChangePolicy"] = "Reset"
    app = make(wanted)
    app.wait_ready()
    app.write_marker()
    patch(app, template=image(OTHER))
    app.wait_condition("UpdatePending", "True", "ImageReset")
    assert "marker" in app.exec("ls", "/")  # what runs, runs on
    # Meanwhile the provider is made anew; a stop looks whether there is one.
    eventually(lambda: provider_image(app) == OTHER, what="its provider", explain=app.explain)
    app.stop()
    roots = f"ls {STATE_DIR}/roots | grep {app.uid} || true"
    assert app.cluster.node_exec(app.node, roots).split() == [app.uid]
    app.start()
    listed = app.exec("ls", "/").split()
    assert "data" in listed
    assert "marker" not in listed
    inside = app.sh("stat -c %d /").strip()
    host = app.cluster.node_exec(app.node, f"stat -c %d {app.get()['status']['hostPath']}/")
    assert inside == host.strip()
    eventually(
        lambda: app.cluster.node_exec(app.node, roots).split() == [f"{app.uid}-r1"],
        what="the old root is gone",
        explain=app.explain,
    )
    digest = app.write_marker()
    app.stop()
    app.start()
    app.assert_marker(digest)
    node, uid = app.node, app.uid
    app.cluster.kubectl("-n", namespace, "delete", "stc", app.name, "--timeout=60s")
    assert not any(leftovers(app.cluster, node, uid).values())


def test_reset_to_an_image_that_is_not_there_costs_nothing(make: Make, namespace: str) -> None:
    wanted = manifest("stays", namespace, command=HOLD)
    wanted["spec"]["imageChangePolicy"] = "Reset"
    app = make(wanted)
    app.wait_ready()
    digest = app.write_marker()
    app.stop()
    patch(app, template=image("localhost/test/nothing:1"))
    app.set_running(True)
    app.wait_condition("ImagePinned", "False", "ImagePullFailed")
    assert app.phase() == "Error"
    patch(app, template=image("busybox:1"))
    app.wait_ready()
    app.assert_marker(digest)


@pytest.mark.parametrize(("init", "reason"), [(True, "CrashLoopBackOff"), (False, "StartFailed")])
def test_a_container_that_does_not_come_up_takes_the_mended_template_at_once(
    make: Make, namespace: str, init: bool, reason: str
) -> None:
    wanted = manifest("mended", namespace, command=["/no/such/program"])
    wanted["spec"]["init"] = init
    app = make(wanted)
    seen = app.wait_condition("ConsumerReady", "False", reason)
    assert "/no/such/program" in seen["message"]
    assert app.phase() == "Error"
    patch(app, template={"container": {"command": HOLD}})
    app.wait_ready()
    app.assert_on_kept_root()
