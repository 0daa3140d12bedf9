"""What is installed, removed and set up inside of a container is so after a stop and a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import CommandError
from tests.e2e.stoppable import HOLD, manifest

if TYPE_CHECKING:
    from tests.e2e.conftest import Make

WHEELS = "--no-index --find-links /usr/share/python-wheels"
VERSION = "import setuptools; print(setuptools.__file__, setuptools.__version__)"
USE = f"""set -e
echo '{{"deep": [1, {{"er": "found"}}]}}' | jq -r '.deep[1].er'
dpkg --verify jq libjq1 libonig5
dpkg-query --show --showformat '${{Package}} ${{db:Status-Status}}\\n' jq libjq1
python3 -c '{VERSION}'
/opt/app/bin/python -c '{VERSION}'
if command -v setcap; then exit 1; fi
"""


def test_apt_get_and_pip_install(make: Make, namespace: str) -> None:
    app = make(manifest("packages", namespace, image="localhost/test/workbench:1", command=HOLD))
    app.wait_ready()
    for missing in ("jq", "python3 -c 'import setuptools'"):
        with pytest.raises(CommandError):
            app.sh(missing)
    app.sh("apt-get -qq update && apt-get -qq install -y jq && apt-get -qq purge -y libcap2-bin")
    app.sh(f"pip install -q --root-user-action=ignore --break-system-packages {WHEELS} setuptools")
    app.sh(f"python3 -m venv /opt/app && /opt/app/bin/pip install -q {WHEELS} setuptools")
    before = app.sh(USE)
    assert before.splitlines()[:3] == ["found", "jq installed", "libjq1 installed"]
    system, own = before.splitlines()[3:]
    assert system.startswith("/usr/local/lib/")
    assert own.startswith("/opt/app/lib/")

    app.stop()
    app.cluster.node_exec(app.node, "echo 3 > /proc/sys/vm/drop_caches")
    app.start()
    assert app.sh(USE) == before
    # The package managers themselves still work on what they did before.
    app.sh("apt-get -qq remove -y jq && ! command -v jq && apt-get -qq install -y jq")
    app.sh("pip uninstall -q -y --break-system-packages --root-user-action=ignore setuptools")
    assert app.sh("echo '[1]' | jq -c .").strip() == "[1]"


def test_a_user_made_inside_has_its_groups_at_the_next_start(make: Make, namespace: str) -> None:
    """As in a bare pod, whose groups are those in the `/etc/group` of its root."""
    app = make(manifest("users", namespace, image="localhost/test/workbench:1", command=HOLD))
    app.wait_ready()
    app.sh("useradd -m -u 1000 me && groupadd -g 2000 extra && usermod -aG extra me")
    app.stop()
    app.cluster.kubectl(
        "-n", namespace, "patch", "stc", "users", "--type=merge",
        "-p", '{"spec":{"template":{"container":{"securityContext":{"runAsUser":1000}}}}}',
    )  # fmt: skip
    app.start()
    assert app.sh("echo $HOME; id -un; id -G").split() == ["/home/me", "me", "1000", "2000"]
