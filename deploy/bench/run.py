"""The parts of one run in their order; called by `__main__`, which shows the result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.bench import objects
from deploy.bench.crowd import Crowd
from deploy.bench.cycles import Bench, bare_cycle, bare_stop, create_cycle, cycle, start, stop
from deploy.bench.meters import cpu_share
from deploy.bench.result import Figure, Result
from deploy.bench.usage import Product, pods_usage

if TYPE_CHECKING:
    from collections.abc import Callable

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
    stopped: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def figure(self, name: str, value: float, unit: str) -> None:
        """One more number."""
        self.figures.append(Figure(name, value, unit))


def measure(run: Run, size: int) -> None:
    """Everything; the idle time is first taken while nothing of ours is there."""
    run.say("idle, nothing there")
    before, _ = run.product.idle(run.idle_seconds)
    for volumes in (PLAIN, TOKEN):
        run.say(f"cold and bare, {volumes}")
        cold(run, volumes)
    run.say("first create")
    create(run)
    for mode in ("Warm", "Freeze"):
        run.say(mode.lower())
        warm(run, mode)
    run.say("sleep infinity")
    sleeps(run)
    run.say(f"{size} at once")
    crowd = Crowd(run.bench, run.node, size)
    for _ in run.budget.cycles("many at once", run.counts.rounds, UNTIL["rounds"]):
        crowd.round()
    run.say(f"idle, {size} stopped")
    idle(run, before, [*crowd.names, *run.stopped])
    run.say("clearing up")
    crowd.drop()
    for name in run.stopped:
        run.bench.drop(name)


def cold(run: Run, volumes: str) -> None:
    """Bare and cold cycles in turn; then some cold ones alone, for their writes."""
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
    changes = {kind: value - before.get(kind, 0) for kind, value in run.product.writes().items()}
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
        time.sleep(PAUSES[mode])
    bench.forget(warm_up)
    last = bench.look_at_stages(name).get("lastStart", {})
    if last.get("mode") != mode:
        reason = last.get("reason") or "status.lastStart does not say that it was"
        run.budget.notes.append(f"{key}: not supported here: {reason}"[:300])
        bench.drop(name)
        return
    count = run.counts.warm if mode == "Warm" else run.counts.freeze
    writes, begun, fallen = run.product.writes(), 0, 0
    for _ in run.budget.cycles(key, count, UNTIL[mode]):
        begun += 1
        cycle(bench, name, key, TOKEN)
        time.sleep(PAUSES[mode])
        fallen += bench.look_at_stages(name).get("lastStart", {}).get("mode") != mode
    _writes(run, writes, begun, key)
    if fallen:
        run.budget.notes.append(f"{key}: {fallen} of {begun} starts were cold")
    run.stopped.append(name)


def sleeps(run: Run) -> None:
    """Stops of a command that has no handler for SIGTERM."""
    bench, name = run.bench, "sleep"
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
    bench.forget("not counted")
    bench.drop(name)


def idle(run: Run, before: dict[str, float], names: list[str]) -> None:
    """What stopped containers cost: the product's own CPU, and that of their pods."""
    pods = [*(f"{name}-provider" for name in names), *run.stopped]
    sizes = len(names)
    first = pods_usage(run.bench.cluster, run.node, pods)
    after, memory = run.product.idle(run.idle_seconds)
    last = pods_usage(run.bench.cluster, run.node, pods)
    for program, share in after.items():
        run.figure(f"{program}: memory (RSS) of one pod", memory[program] / 2**20, "MiB")
        run.figure(
            f"{program}: idle CPU of all pods, nothing there", before[program] * 100, "% of a core"
        )
        run.figure(f"{program}: idle CPU of all pods, {sizes} stopped", share * 100, "% of a core")
    added = sum(after.values()) - sum(before.values())
    run.figure(f"controller and agents: CPU added by {sizes} stopped", added * 100, "% of a core")
    shares = {name: cpu_share(first[name], last[name]) for name in first.keys() & last.keys()}
    providers = [share for name, share in shares.items() if name not in run.stopped]
    run.figure(
        f"their {len(providers)} provider pods: CPU in all", sum(providers) * 100, "% of a core"
    )
    kept = {"one stopped cold container (its provider pod)": "crowd-00-provider"}
    kept |= {f"one stopped {name} container (its own pod)": name for name in run.stopped}
    for what, name in kept.items():
        if name in last:
            run.figure(f"{what}: memory (RSS)", last[name].rss_bytes / 2**20, "MiB")
        if name in shares:
            run.figure(f"{what}: CPU", shares[name] * 100, "% of a core")


def result(run: Run, versions: tuple[tuple[str, str], ...]) -> Result:
    """What the run has found."""
    return Result(
        versions,
        tuple(run.bench.series()),
        tuple(run.figures),
        run.bench.stages.means(),
        tuple(run.budget.notes),
    )
