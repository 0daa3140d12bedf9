"""Debian's packages that the cluster and the images need: found, or installed, or named.

The standard library only: it runs before the virtual environment exists.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

# What is looked for -> the package that brings it. A name with a slash is a file.
PACKAGES = {
    "musl-gcc": "musl-tools",
    "as": "binutils",
    "runc": "runc",
    "buildah": "buildah",
    "/usr/lib/podman/netavark": "netavark",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}


class MissingPackages(Exception):
    """Something must be installed, and we may not or cannot do it."""

    def __init__(self, packages: list[str]) -> None:
        super().__init__(f"please install: apt-get install {' '.join(packages)}")


def ensure_tools() -> None:
    """Install what is missing of the tools for the cluster and its images."""
    _install(_missing())


def ensure_venv_module() -> None:
    """Debian splits the venv module off python3; elsewhere it is always there."""
    if importlib.util.find_spec("ensurepip") is None:
        _install(["python3-venv"])


def _missing() -> list[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [
        package
        for wanted, package in PACKAGES.items()
        if not (Path(wanted).exists() if "/" in wanted else shutil.which(wanted, path=path))
    ]


def _install(packages: list[str]) -> None:
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingPackages(packages)
    print(f"installing {' '.join(packages)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run(
            ["apt-get", "-qq", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL
        )
