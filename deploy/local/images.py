"""Builds images as OCI archives, from Debian's packages and our own recipes; no registry.

An image's digest covers its recipe and its base's digest; under it the archive is kept in the
cache, so that only a changed recipe is built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.cache import building
from deploy.local.paths import CACHE, IMAGES_DIR, RECIPES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUITE = "trixie"
HOST_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_ARCHIVES = CACHE / "images"


@dataclass(frozen=True, slots=True)
class Image:
    """A recipe below recipes/, the names it gets, and the recipe that it is built on."""

    recipe: str
    names: tuple[str, ...]
    on: Image | None = None
    # One layer for each line of the recipe, rather than one in all.
    layers: bool = False

    @property
    def folder(self) -> Path:
        """Holds the Dockerfile and what it copies."""
        return RECIPES / "recipes" / self.recipe

    def digest(self) -> str:
        """Of the recipe and of all that it is built on."""
        content = hashlib.sha256(f"{SUITE} {self.names} {self.layers}".encode())
        for file in sorted(self.folder.iterdir()):
            content.update(file.name.encode() + b"\0" + file.read_bytes())
        if self.on is not None:
            content.update(self.on.digest().encode())
        return content.hexdigest()[:16]

    def stored(self) -> str:
        """Its name in the build store, different for each version of the recipe."""
        return f"localhost/recipe/{self.recipe}:{self.digest()}"

    def archive(self, name: str) -> Path:
        """The cached OCI archive for one of its names."""
        file = name.removeprefix("docker.io/library/").removeprefix("localhost/")
        return _ARCHIVES / f"{file.replace('/', '-').replace(':', '-')}-{self.digest()}.tar"


PAUSE = Image("pause", ("localhost/pause:1",))
DEBIAN = Image("debian", ("docker.io/library/debian:latest",))
BUSYBOX = Image(
    "busybox", ("docker.io/library/busybox:latest", "docker.io/library/busybox:1"), on=DEBIAN
)
PYTHON = Image("python", (), on=DEBIAN)
TEST_IMAGES = (
    PAUSE,
    BUSYBOX,
    Image("static", ("localhost/test/static:1",)),
    Image("volume", ("localhost/test/volume:1",), on=BUSYBOX),
    Image("layers60", ("localhost/test/layers60:1",), on=BUSYBOX, layers=True),
    DEBIAN,
    Image("nginx", ("docker.io/library/nginx:latest",), on=DEBIAN),
    Image("postgres", ("localhost/test/postgres:1",), on=DEBIAN),
    Image("redis", ("localhost/test/redis:1",), on=DEBIAN),
    # On the project's own base, so that the nodes have most of it already.
    Image("supervised", ("localhost/test/supervised:1",), on=PYTHON),
    Image("workbench", ("localhost/test/workbench:1",), on=PYTHON),
)
PROJECT_BASE = "localhost/python:3.13"
PROJECT_IMAGES = ("controller", "agent")


def ensure_test_images(images: Iterable[Image] = TEST_IMAGES) -> list[Path]:
    """Build what the cache lacks and link all archives into build/images."""
    IMAGES_DIR.mkdir(parents=True, exist_ok=True)
    archives = []
    for image in images:
        for name in image.names:
            archive = image.archive(name)
            with building("images"):
                if not archive.exists():
                    _ensure_stored(image)
                    _export(image.stored(), name, archive)
            link = IMAGES_DIR / archive.name.replace(f"-{image.digest()}", "")
            link.unlink(missing_ok=True)
            link.symlink_to(archive)
            archives.append(archive)
    return archives


def build_project_images() -> list[Path]:
    """Build Dockerfile.controller and Dockerfile.agent, where they exist."""
    IMAGES_DIR.mkdir(parents=True, exist_ok=True)
    with building("images"):
        return [_build_project_image(name) for name in PROJECT_IMAGES if _has_dockerfile(name)]


def read_names(archive: Path) -> dict[str, str]:
    """The names in an OCI archive, each with its manifest's digest."""
    with tarfile.open(archive) as content:
        member = content.extractfile("index.json")
        if member is None:
            raise ValueError(f"{archive} is no OCI archive")
        index = json.load(member)
    return {
        manifest.get("annotations", {}).get("org.opencontainers.image.ref.name", "?"): (
            manifest["digest"]
        )
        for manifest in index["manifests"]
    }


def _has_dockerfile(name: str) -> bool:
    there = (REPOSITORY / f"Dockerfile.{name}").exists()
    if not there:
        print(f"there is no Dockerfile.{name}: left out")
    return there


def _build_project_image(name: str) -> Path:
    _ensure_stored(PYTHON)
    _buildah("tag", PYTHON.stored(), PROJECT_BASE)
    tag = f"localhost/stoppablecontainer/{name}:dev"
    print(f"building {tag}", flush=True)
    dockerfile = REPOSITORY / f"Dockerfile.{name}"
    arguments = ["--layers", "-f", str(dockerfile), "--build-arg", f"BASE={PROJECT_BASE}"]
    if HOST_CERTIFICATES.exists():
        # Where a proxy with an authority of its own stands before pip's index.
        arguments += ["-v", f"{HOST_CERTIFICATES}:{HOST_CERTIFICATES}:ro"]
    _bud([*arguments, "-t", tag], REPOSITORY)
    archive = IMAGES_DIR / f"{name}.tar"
    _export(tag, tag, archive)
    return archive


def _ensure_stored(image: Image) -> None:
    found = _buildah("inspect", "--type", "image", image.stored(), check=False)
    if found.returncode == 0:
        return
    if image.on is not None:
        _ensure_stored(image.on)
    print(f"building the image {image.recipe}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".building-") as scratch:
        context = Path(scratch, "context")
        shutil.copytree(image.folder, context)
        _prepare(image, context, Path(scratch))
        layers = ["--layers"] if image.layers else []
        base = ["--build-arg", f"BASE={image.on.stored()}"] if image.on else []
        _bud([*layers, *base, "-t", image.stored()], context)


def _prepare(image: Image, context: Path, scratch: Path) -> None:
    """Add to the context what is no text: programs, and Debian's root file system."""
    for source in context.glob("*.c"):
        compiler = ["musl-gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-s"]
        subprocess.run([*compiler, "-o", str(source.with_suffix("")), str(source)], check=True)
    if image is DEBIAN:
        root = scratch / "root"
        print(f"debootstrap {SUITE}, about a minute", flush=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, str(root)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / folder)
            (root / folder / "partial").mkdir(parents=True)
        # Its /dev is the runtime's business, and a build need not be able to make devices.
        packing = ["tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(root), "-cf"]
        subprocess.run([*packing, str(context / "rootfs.tar"), "."], check=True)


def _bud(arguments: Sequence[str], context: Path) -> None:
    options = ["--isolation", "chroot", "--network", "host", "--pull-never"]
    # Its defaults may be more than we have, and only lowering them takes no CAP_SYS_RESOURCE.
    options += ["--ulimit", "nproc=8192:8192", "--ulimit", "nofile=4096:4096"]
    _buildah("bud", *options, *arguments, str(context))


def _export(stored: str, name: str, archive: Path) -> None:
    """Write the archive beside its place and rename it: an interrupted one never counts."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(f".{archive.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    _buildah("push", stored, f"oci-archive:{partial}:{name}")
    partial.replace(archive)


def _buildah(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Its output is shown only when it failed: what it writes is long and says little."""
    # A store of our own: the machine's images are not touched, nor mistaken for ours.
    store = ["--root", str(CACHE / "buildah"), "--runroot", "/run/stoppablecontainer-buildah"]
    done = subprocess.run(
        ["buildah", *store, "--storage-driver", _storage_driver(), *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if check and done.returncode != 0:
        print(done.stdout, flush=True)
        raise RuntimeError(f"buildah {arguments[0]} failed with {done.returncode}")
    return done


def _storage_driver() -> str:
    """Where overlay would lie on overlay, as in a container, vfs copies instead."""
    CACHE.mkdir(parents=True, exist_ok=True)
    asked = ["stat", "--file-system", "--format=%T", str(CACHE)]
    kind = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    return "vfs" if kind in ("overlayfs", "tmpfs") else "overlay"
