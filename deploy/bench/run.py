"""The parts of one run in their order; called by `__main__`, which shows the result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from deploy.bench import objects
from deploy.bench.cluster import ApiError
from deploy.bench.crowd import Crowd
from deploy.bench.cycles import Bench, bare_cycle, bare_stop, create_cycle, cycle, start, stop
from deploy.bench.result import Figure, Result
from deploy.bench.usage import Product, pods_usage, shares
from deploy.bench.watching import NotSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploy.bench.counts import Budget, Counts

PLAIN, TOKEN = "no volume", "token volume"
# The share of the run's time that is gone at most when a part ends; from measured cycle times.
UNTIL = {PLAIN: 0.27, TOKEN: 0.52, "create": 0.57, "Warm": 0.66, "Freeze": 0.75, "rounds": 0.92}
# Between two warm cycles: what the product does after a stop (resize) is not on the next start.
PAUSES = {"Warm": 0.05, "Freeze": objects.FROZEN_SECONDS}


@dataclass
class Run:
    """What all parts of a run share."""

    bench: Bench
    product: Product
    counts: Counts
    budget: Budget
    say: Callable[[str], None]
    idle_seconds: float
    node: str = ""
    failed: bool = False
    pauses: dict[str, float] = field(default_factory=lambda: dict(PAUSES))
    stopped: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def figure(self, name: str, value: float, unit: str) -> None:
        """One more number."""
        self.figures.append(Figure(name, value, unit))

    def cpu(self, name: str, share: float) -> None:
        """One more share of a core."""
        self.figure(name, share * 100, "% of a core")


def measure(run: Run, size: int) -> None:
    """Everything; the idle time is first taken while nothing of ours is there."""
    run.say("idle, nothing there")
    before, _ = run.product.idle(run.idle_seconds)
    parts: dict[str, Callable[[], None]] = {
        f"cold and bare, {PLAIN}": partial(cold, run, PLAIN),
        f"cold and bare, {TOKEN}": partial(cold, run, TOKEN),
        "first create": partial(create, run),
        "warm": partial(warm, run, "Warm"),
        "freeze": partial(warm, run, "Freeze"),
        "sleep infinity": partial(sleeps, run),
        f"{size} at once, then idle": partial(many, run, size, before),
    }
    for what, part in parts.items():
        run.say(what)
        try:
            part()
        except (NotSeen, ApiError) as error:
            # One kind that does not work must not cost the minutes of the others. The error may
            # name hosts: it is told here and not kept.
            run.failed = True
            run.budget.notes.append(f"{what}: ended early, so its rows are of fewer cycles")
            run.say(str(error))


def printable(text: str) -> str:
    """A note of one line, whatever status said."""
    return "".join(one if one.isprintable() else " " for one in text)[:300]


def cold(run: Run, volumes: str) -> None:
    """Bare and cold cycles in turn; also what the cold ones wrote."""
    bench, name = run.bench, f"cold-{volumes.split(maxsplit=1)[0]}"
    spec = objects.pod_spec(objects.OBEDIENT, token=volumes == TOKEN)
    run.node = bench.prepare(name, _on(run, spec), "Cold")
    bare = objects.pinned(spec, run.node)
    warm_up = f"{volumes}, not counted"
    bare_cycle(bench, bare, warm_up)
    cycle(bench, name, "cold", warm_up)
    bench.forget(warm_up)
    writes = run.product.writes()
    begun = 0
    for number in run.budget.cycles(f"cold and bare, {volumes}", run.counts.cold, UNTIL[volumes]):
        begun += 1
        # In turn, and neither always after the other's clearing up.
        for which in ("bare", "cold") if number % 2 else ("cold", "bare"):
            if which == "bare":
                bare_cycle(bench, bare, volumes)
            else:
                cycle(bench, name, "cold", volumes)
        bench.look_at_stages(name)
    _writes(run, writes, begun, f"cold, {volumes}")
    bench.drop(name)


def _writes(run: Run, before: dict[str, float], cycles: int, what: str) -> None:
    after = run.product.writes()
    if not after:
        run.budget.notes.append(
            f"API writes ({what}): the controller's metrics cannot be read here"
        )
        return
    changes = {kind: value - before.get(kind, 0) for kind, value in after.items()}
    run.figure(f"API writes of a cycle ({what})", sum(changes.values()) / cycles, "")
    for kind, change in sorted(changes.items()):
        if change >= cycles / 20:
            run.figure(f"  {what}: {kind}", change / cycles, "")


def _on(run: Run, spec: dict[str, object]) -> dict[str, object]:
    """On the node of the first one: one node is compared with itself."""
    return objects.pinned(spec, run.node) if run.node else spec


def create(run: Run) -> None:
    """First creates, each of a new name."""
    spec = _on(run, objects.pod_spec(objects.OBEDIENT, token=True))
    for number in run.budget.cycles("first create", run.counts.create, UNTIL["create"]):
        create_cycle(run.bench, f"create-{number}", spec, TOKEN)


def warm(run: Run, mode: str) -> None:
    """Warm or frozen cycles; a product that starts cold instead says so in status."""
    bench, name, key = run.bench, mode.lower(), mode.lower()
    command = objects.CLOCK if mode == "Freeze" else objects.OBEDIENT
    bench.prepare(name, _on(run, objects.pod_spec(command, token=True)), mode)
    warm_up = "not counted"
    for _ in range(2):
        cycle(bench, name, key, warm_up)
        time.sleep(run.pauses[mode])  # PAUSES says why
    bench.forget(warm_up)
    last = bench.look_at_stages(name).get("lastStart", {})
    if last.get("mode") != mode:
        reason = last.get("reason") or "status.lastStart does not say that it was"
        run.budget.notes.append(printable(f"{key}: not supported here: {reason}"))
        bench.drop(name)
        return
    count = run.counts.warm if mode == "Warm" else run.counts.freeze
    writes, begun, fallen = run.product.writes(), 0, 0
    for _ in run.budget.cycles(key, count, UNTIL[mode]):
        begun += 1
        cycle(bench, name, key, TOKEN)
        time.sleep(run.pauses[mode])  # PAUSES says why
        fallen += bench.look_at_stages(name).get("lastStart", {}).get("mode") != mode
    _writes(run, writes, begun, key)
    if fallen:
        run.budget.notes.append(f"{key}: {fallen} of {begun} starts were cold")
    run.stopped.append(name)


def sleeps(run: Run) -> None:
    """Stops of a command that has no handler for SIGTERM."""
    bench, name, ends = run.bench, "sleep", list[float]()
    spec = objects.pod_spec(objects.SLEEP, token=False)
    bench.prepare(name, _on(run, spec), "Cold")
    for _ in range(run.counts.sleeps):
        since = bench.pods.mark("bare")
        body = objects.pod("bare", objects.pinned(spec, run.node))
        bench.cluster.create(bench.cluster.pods, body)
        bench.pod_ready("bare", since)
        bare_stop(bench, "bare", PLAIN, "stop-sleep")
        start(bench, name, "cold", "not counted")
        stop(bench, name, "cold", PLAIN, "stop-sleep")
        ends += command_ended(bench.look_at_stages(name).get("lastStop") or {})
    bench.forget("not counted")
    bench.drop(name)
    if ends:
        run.figure("`sleep infinity`: the change is seen, to its end (p50)", median(ends), "ms")


def command_ended(stop: Mapping[str, Any]) -> list[float]:
    """After how many milliseconds of a stop the command was gone; nothing when it is not told."""
    spent = 0.0
    for stage in stop.get("stages") or []:
        spent += stage["microseconds"] / 1000
        if stage["name"] == "commandStopped":
            return [spent]
    return []


def many(run: Run, size: int, before: dict[str, float]) -> None:
    """All starts at once; then what the stopped ones cost."""
    crowd = Crowd(run.bench, run.node, size)
    for _ in run.budget.cycles("many at once", run.counts.rounds, UNTIL["rounds"]):
        crowd.round()
    run.say("idle, all stopped")
    idle(run, before, [*crowd.names, *run.stopped])
    run.say("clearing up")
    crowd.drop()
    for name in run.stopped:
        run.bench.drop(name)


def idle(run: Run, before: dict[str, float], names: list[str]) -> None:
    """What stopped containers cost: the product's own CPU, and that of their pods."""
    cluster, size = run.bench.cluster, len(names)
    pods = [*(f"{name}-provider" for name in names), *run.stopped]
    first = pods_usage(cluster, run.node, pods, cluster.namespace)
    after, memory = run.product.idle(run.idle_seconds)
    last = pods_usage(cluster, run.node, pods, cluster.namespace)
    for program, rss in memory.items():
        run.figure(f"{program}: memory (RSS) of one pod", rss / 2**20, "MiB")
        run.cpu(f"{program}: idle CPU of all pods, nothing there", before[program])
        run.cpu(f"{program}: idle CPU of all pods, {size} stopped", after[program])
    if not memory or not last:
        run.budget.notes.append("memory and CPU: pods/proxy or nodes/proxy cannot be read here")
        return
    added = sum(after.values()) - sum(before.values())
    run.cpu(f"controller and agents: CPU added by {size} stopped", added)
    used = shares(first, last)
    providers = [share for name, share in used.items() if name not in run.stopped]
    run.cpu(f"their {len(providers)} provider pods: CPU in all", sum(providers))
    kept = {"one stopped cold container (its provider pod)": "crowd-00-provider"}
    kept |= {f"one stopped {name} container (its own pod)": name for name in run.stopped}
    for what, name in kept.items():
        if name in used:
            run.figure(f"{what}: memory (RSS)", last[name].rss_bytes / 2**20, "MiB")
            run.cpu(f"{what}: CPU", used[name])


def result(run: Run, versions: tuple[tuple[str, str], ...]) -> Result:
    """What the run has found."""
    return Result(
        versions,
        tuple(run.bench.series()),
        tuple(run.figures),
        run.bench.stages.means(),
        tuple(run.budget.notes),
    )
