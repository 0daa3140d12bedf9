"""The pod specs of podspecs.yaml, and the report that a container gives of itself.

`cases` reads the specs, `observe` makes of a pod and its log what can be compared: everything that
must differ between any two pods (uids, addresses, times) is taken out here and nowhere else.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.stoppable import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.e2e.cluster import Object

SPECS = Path(__file__).with_suffix(".yaml")
WAIT = "trap 'exit 0' TERM; sleep 1000000 & wait"
END = "=== end"

# $me, because Kubernetes makes $ of $$. Descriptors first: later the shell may have opened some.
REPORTER = r"""
read -r me _ < /proc/self/stat
part() { echo "=== $1"; shift; "$@"; }
argv() { printf '%s\n' "$@"; md5sum < /proc/$me/cmdline; }
first() { read -r name < /proc/1/comm; echo "$name"; }
process() {
    awk '{
        print "is process 1:", $1 == 1; print "leads its group:", $1 == $5
        print "leads its session:", $1 == $6; print "has a terminal:", $7 != 0
        print "is in the foreground:", $5 == $8; print "parent outside:", $4 == 0
    }' /proc/$me/stat
}
# Read by the shell itself: while it waits for another program it blocks signals.
rights() {
    while read -r key value; do
        case $key in
        Uid:|Gid:|Groups:|Umask:|Cap*|NoNew*|Seccomp*|SigBlk:|SigIgn:|Cpus_allowed_list:)
            echo "$key $value" ;;
        esac
    done
}
limits() {
    cat /proc/$me/limits
    for file in oom_score_adj personality coredump_filter; do
        echo "$file $(cat /proc/$me/$file)"
    done
    for file in memory.max memory.high cpu.max cpu.weight pids.max memory/memory.limit_in_bytes \
        cpu/cpu.shares cpu/cpu.cfs_quota_us pids/pids.max; do
        [ ! -e /sys/fs/cgroup/$file ] || echo "$file $(cat /sys/fs/cgroup/$file)"
    done
}
part descriptors ls -l /proc/$me/fd
exec 2>&1
part argv argv "$0" "$@"
part executable readlink /proc/$me/exe
part directory readlink /proc/$me/cwd
part environment tr '\0' '\n' < /proc/$me/environ
part rights rights < /proc/$me/status
part process process
part first first
part limits limits
part mounts cat /proc/$me/mountinfo
part root stat -c '%A %u %g %n' / $(ls -Ad /* /.[!.]* 2>/dev/null)
part devices ls -1A /dev
part network sh -c 'ls /sys/class/net | grep -v veth'
part names hostname
# Kubelet empties and writes the file of the whole pod anew for each container that it starts.
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do [ -s /etc/hosts ] && break; sleep 0.1; done
cat /proc/sys/kernel/domainname /etc/hosts /etc/hostname
sed '/^options/y/ /\n/' /etc/resolv.conf
part write touch /made
echo '=== extra'
"""

# What any two pods differ in. First match wins, so the longer come first.
SCRUBBED: tuple[tuple[str, str], ...] = (
    (r"\b[0-9a-f]{64}\b", "CONTAINER"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "OTHER-UID"),
    (r"^[0-9a-f]{16}$", "HASH"),
    (r"kube-api-access-[a-z0-9]{5}", "kube-api-access"),
    (r"(pipe|socket):\[\d+\]", r"\1"),
    (r"\.\.\d{4}(_\d\d){5}\.\d+", "..DATE"),
    (r"(containers/\w+/)[0-9a-f]{8}\b", r"\1TERMINATION-LOG"),
    (r"\b(shared|master):\d+", r"\1"),
    (r"/snapshots/\d+/", "/snapshots/N/"),
    (r"^back-off \w+ ", "back-off "),
)
TIMES = frozenset({"startedAt", "finishedAt", "startTime", "lastTransitionTime", "lastProbeTime"})


@dataclass(frozen=True)
class Case:
    """One pod spec, once as a bare pod and once as a StoppableContainer with this `init`."""

    name: str
    spec: Object
    metadata: Object
    init: bool
    short: bool
    settled: str
    end: str

    @property
    def ident(self) -> str:
        """Names the comparison."""
        return f"{self.name}-with-init" if self.init else self.name

    def pod(self, namespace: str, labels: Mapping[str, str], node: str) -> Object:
        """The bare pod."""
        metadata = self._metadata(labels) | {"name": self.name, "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": self._placed(node),
        }

    def stoppable(self, namespace: str, labels: Mapping[str, str], node: str) -> Object:
        """The StoppableContainer."""
        template: Object = {"metadata": self._metadata(labels)}
        spec = self._placed(node)
        if self.short:
            template["container"] = spec.pop("containers")[0]
            template |= spec
        else:
            template["spec"] = spec
        return {
            "apiVersion": API_VERSION,
            "kind": "StoppableContainer",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {"running": True, "init": self.init, "template": template},
        }

    def _metadata(self, labels: Mapping[str, str]) -> Object:
        metadata = copy.deepcopy(self.metadata)
        return metadata | {"labels": {**metadata.get("labels", {}), **labels}}

    def _placed(self, node: str) -> Object:
        return {**copy.deepcopy(self.spec), "nodeSelector": {"kubernetes.io/hostname": node}}


def cases() -> Iterator[Case]:
    """All comparisons of podspecs.yaml."""
    for entry in yaml.safe_load(SPECS.read_text()):
        spec = entry["spec"]
        for number, container in enumerate(spec["containers"]):
            _complete(container, "main" if number == 0 else "", WAIT)
        for container in spec.get("initContainers", []):
            _complete(container, "", WAIT if "restartPolicy" in container else "exit 0")
        for init in entry.get("inits", [False]):
            yield Case(
                name=entry["name"],
                spec=spec,
                metadata=entry.get("metadata", {}),
                init=init,
                short=entry.get("short", False),
                settled=entry.get("settled", "ready"),
                end=entry.get("end", END),
            )


def _complete(container: Object, name: str, then: str) -> None:
    if name:
        container.setdefault("name", name)
    container.setdefault("image", "busybox:1")
    extra, tail = container.pop("extra", ""), container.pop("then", then)
    script = f"{REPORTER}{extra}\necho; echo '{END}'\n{tail}"
    if container["image"] == "busybox:1" and "args" not in container:
        container.setdefault("command", ["sh", "-c", "REPORT"])
    for part in ("command", "args"):
        if part in container:
            container[part] = [script if word == "REPORT" else word for word in container[part]]


def observe(pod: Object, log: Mapping[str, list[str]], service_address: str) -> Object:
    """What a pod is, as far as it may not differ from another's of the same spec."""
    metadata, status = pod["metadata"], pod["status"]
    own = {metadata["uid"]: "UID", metadata["namespace"]: "NAMESPACE"}
    own |= {service_address: "SERVICE-ADDRESS"}
    if not pod["spec"].get("hostNetwork"):
        own |= {one["ip"]: "POD-ADDRESS" for one in status.get("podIPs", [])}
    # An address may be the beginning of another.
    replaced = [(rf"{re.escape(text)}(?!\d)", token) for text, token in own.items()]
    if "resources" not in pod["spec"]:
        status.pop("resources", None)  # the cgroup's, when kubelet looked before it was removed
    for container in status.get("containerStatuses", []):
        if container["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff":
            container["restartCount"] = "until now"
    kept = ("labels", "annotations", "ownerReferences", "finalizers")
    seen = {
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": pod["spec"],
        "status": _timeless(status),
        "log": {name: _parts(lines) for name, lines in log.items()},
    }
    scrubbed: Object = _scrub(seen, (*replaced, *SCRUBBED))
    scrubbed["status"]["conditions"] = {
        one["type"]: one for one in scrubbed["status"].get("conditions", [])
    }
    return scrubbed


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _timeless(inner)
            for key, inner in value.items()
            if key not in TIMES and key != "containerID" and inner is not None
        }
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def _scrub(value: Any, patterns: Iterable[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        return {key: _scrub(inner, patterns) for key, inner in value.items()}
    if isinstance(value, list):
        return [_scrub(inner, patterns) for inner in value]
    if not isinstance(value, str):
        return value
    for pattern, token in patterns:
        value = re.sub(pattern, token, value)
    return value


def _parts(lines: Iterable[str]) -> dict[str, list[str]]:
    """The report by its parts; what a program says that knows no parts is under "said"."""
    found: dict[str, list[str]] = {"said": []}
    part = "said"
    for line in lines:
        if line.startswith("=== "):
            part = line.removeprefix("=== ").strip()
            found[part] = []
        else:
            found[part].append(line.rstrip("\r"))
    if "mounts" in found:
        found["mounts"] = sorted(_mount(line) for line in found["mounts"])
        found["descriptors"] = re.findall(r"\d+ -> .*", "\n".join(found["descriptors"]))
    # Kubelet takes its own variables and the options of resolv.conf from maps.
    for unordered in ("environment", "said", "names"):
        found.get(unordered, []).sort()
    return found


def _mount(line: str) -> str:
    """A line of mountinfo without ids; what is ours of all mounts without what it is made of."""
    own, _, of_filesystem = line.partition(" - ")
    _, _, _, source, target, options, *propagation = own.split()
    kind, device, filesystem_options = of_filesystem.split()
    shown = [target, options, *propagation]
    if target == "/":
        shown += [device.partition(":")[0]]
    elif not target.startswith("/dev/.stoppablecontainer"):
        shown += [kind, source, device, filesystem_options]
    return " ".join(shown)


def flatten(value: Any, path: str = "") -> Iterator[str]:
    """One line for each field, in an order that does not depend on the pod."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from flatten(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and not path.startswith("log."):
        for number, inner in enumerate(value):
            yield from flatten(inner, f"{path}[{number}]")
    elif isinstance(value, list):
        yield from (f"{path}: {line}" for line in value)
    else:
        yield f"{path}: {value!r}"
