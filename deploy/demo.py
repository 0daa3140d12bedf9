"""The quick example on the cluster of KUBECONFIG: every command shown, timed beside a bare pod.

Uses kubectl alone, so that each line can be repeated by hand.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

EXAMPLE = Path(__file__).parent / "examples" / "quick.yaml"
STOPPED = "--for=jsonpath={.status.phase}=Stopped"
READY = "--for=condition=Ready"
OBJECT = "stoppablecontainer/my-app"


class Demo:
    """Runs kubectl, shows what it runs, and keeps the times."""

    def __init__(self, kubectl: str) -> None:
        self.path = kubectl
        self.times: list[tuple[str, float]] = []

    def kubectl(self, *args: str, show: bool = True, stdin: str | None = None) -> str:
        if show:
            print(f"$ kubectl {shlex.join(args)}", flush=True)
        done = subprocess.run(
            [self.path, *args], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"kubectl {shlex.join(args)}: {done.stderr or done.stdout}")
        if show:
            print("".join(f"  {line}\n" for line in done.stdout.splitlines()), end="", flush=True)
        return done.stdout

    def timed(self, what: str, change: tuple[str, ...], wait: tuple[str, ...]) -> None:
        """Time from before the change is sent until the wait for it returns."""
        begin = time.monotonic()
        self.kubectl(*change)
        self.kubectl("wait", *wait, "--timeout=120s")
        self.times.append((what, time.monotonic() - begin))

    def running(self, what: str, *, wanted: bool) -> None:
        patch = json.dumps({"spec": {"running": wanted}})
        change = ("patch", "stoppablecontainer", "my-app", "--type=merge", "-p", patch)
        self.timed(what, change, (READY if wanted else STOPPED, OBJECT))


def bare_pod(demo: Demo) -> None:
    """The same image and command as a bare pod on the same node: what starting costs without us."""
    node = json.loads(demo.kubectl("get", OBJECT, "-o", "json", show=False))["status"]["node"]
    affinity = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [affinity]}]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare-pod"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
            "containers": [
                {
                    "name": "main",
                    "image": "nginx:latest",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["nginx", "-g", "daemon off;"],
                }
            ],
        },
    }
    begin = time.monotonic()
    demo.kubectl("create", "-f", "-", show=False, stdin=json.dumps(pod))
    demo.kubectl("wait", READY, "pod/bare-pod", "--timeout=120s", show=False)
    demo.times.append(("a bare pod, for comparison", time.monotonic() - begin))
    demo.kubectl("delete", "pod", "bare-pod", show=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubectl", default="kubectl")
    demo = Demo(parser.parse_args().kubectl)

    demo.kubectl("delete", OBJECT, "pod/bare-pod", "--ignore-not-found", show=False)
    print(EXAMPLE.read_text())
    demo.timed("create", ("create", "-f", str(EXAMPLE)), (READY, OBJECT))

    print("\nChange the root filesystem: a new file in / and a changed configuration.")
    change = "echo 'still here' > /kept && sed -i '1i # changed by me' /etc/nginx/nginx.conf"
    demo.kubectl("exec", "my-app", "--", "sh", "-c", change)

    print("\nStop: only the provider is left, the root stays on the node.")
    demo.running("stop", wanted=False)
    demo.kubectl("get", "stoppablecontainers,pods")

    print("\nStart again: the same root.")
    demo.running("start", wanted=True)
    look = "cat /kept; head -n 1 /etc/nginx/nginx.conf"
    said = demo.kubectl("exec", "my-app", "--", "sh", "-c", look)
    if said.splitlines() != ["still here", "# changed by me"]:
        sys.exit("The data is not there: this is a bug, please report it.")
    bare_pod(demo)

    print("\nSeconds, from before the request until kubectl wait returns:")
    for what, seconds in demo.times:
        print(f"  {what:<28}{seconds:6.2f}")
    print(
        "\nTry next:\n"
        "  kubectl exec -it my-app -- bash\n"
        '  kubectl patch stoppablecontainer my-app --type=merge -p \'{"spec":{"running":false}}\'\n'
        "  kubectl get stoppablecontainers my-app -o wide"
    )


if __name__ == "__main__":
    main()
