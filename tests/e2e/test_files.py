"""Every kind of file that an ext4 can hold is, after a stop and a start, what it was before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.stoppable import HOLD, Stoppable, manifest

if TYPE_CHECKING:
    from tests.e2e.conftest import Make

Looks = dict[str, dict[str, Any]]
GIB = 1 << 30


@pytest.fixture
def bench(make: Make, namespace: str) -> Stoppable:
    """Debian with Python and a few tools, running."""
    app = make(manifest("bench", namespace, image="localhost/test/workbench:1", command=HOLD))
    app.wait_ready()
    return app


def python(app: Stoppable, script: str) -> str:
    """Run a program that comes by the standard input."""
    return app.exec("python3", "-", stdin=script)


def look(app: Stoppable, *places: str) -> Looks:
    """All that lstat, listxattr and the content say of these trees, by path."""
    return dict(json.loads(app.exec("python3", "/usr/local/lib/look.py", *places)))


def cycle(app: Stoppable) -> None:
    """Stop and start; nothing in between is left of the trees but what is on the disk."""
    app.stop()
    app.cluster.node_exec(app.node, "echo 3 > /proc/sys/vm/drop_caches")
    app.start()


def assert_kept(app: Stoppable, *places: str) -> Looks:
    before = look(app, *places)
    cycle(app)
    after = look(app, *places)
    assert after == before
    return after


def test_owners_modes_times_and_attributes(bench: Stoppable) -> None:
    python(
        bench,
        r"""
import os, struct
os.makedirs("/kept/folder")
NONE = 0xffffffff
RIGHTS = [(1, 6, NONE), (2, 6, 4242), (4, 4, NONE), (16, 6, NONE), (32, 0, NONE)]
rights = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in RIGHTS)
for number, mode in enumerate((0o000, 0o444, 0o640, 0o1777, 0o2755, 0o4711, 0o6777)):
    open(f"/kept/f{number}", "w").close()
    os.mkdir(f"/kept/d{number}")
    for name in (f"/kept/f{number}", f"/kept/d{number}"):
        os.setxattr(name, "user.colour", bytes(range(256)))
        os.chown(name, 1000 + number, 4294967290)
        os.chmod(name, mode)
os.symlink("/nowhere", "/kept/link")
os.lchown("/kept/link", 12, 34)
open("/kept/shared", "w").close()
os.setxattr("/kept/shared", "system.posix_acl_access", rights)
os.setxattr("/kept/folder", "system.posix_acl_default", rights)
# Attributes of what the image holds: only they are new, the content stays below.
os.setxattr("/usr/share/common-licenses", "user.empty", b"")
os.chown("/usr/share/common-licenses", 77, 78)
os.chmod("/usr/bin/perl", 0o750)
for number, name in enumerate(sorted(os.listdir("/kept"))):
    os.utime(f"/kept/{name}", ns=(1, number * 10**18 + 123456789), follow_symlinks=False)
os.utime("/kept", ns=(-1, -987654321))
os.chown("/", 4, 5)
os.chmod("/", 0o1751)
os.setxattr("/", "user.colour", b"red")
""",
    )
    seen = assert_kept(bench, "/kept", "/usr/share/common-licenses", "/usr/bin/perl")
    assert seen["/kept/f5"]["mode"] == "0o104711"
    assert (seen["/kept/d4"]["uid"], seen["/kept/d4"]["gid"]) == (1004, 4294967290)
    assert seen["/kept/f0"]["attributes"]["user.colour"] == bytes(range(256)).hex()
    assert seen["/usr/share/common-licenses"]["uid"] == 77
    assert seen["/usr/bin/perl"]["mode"] == "0o100750"
    assert seen["/kept"]["mtime"] == -987654321
    assert bench.exec("stat", "-c", "%a %u %g", "/").strip() == "1751 4 5"
    assert python(bench, "import os; print(os.getxattr('/', 'user.colour'))").strip() == "b'red'"


def test_setuid_and_capabilities_still_work(bench: Stoppable) -> None:
    bench.sh(
        "cp /usr/bin/id /usr/local/bin/as-root && chmod 4755 /usr/local/bin/as-root"
        " && cp /usr/bin/id /usr/local/bin/as-mail && chgrp mail /usr/local/bin/as-mail"
        " && chmod 2755 /usr/local/bin/as-mail"
        " && cp /usr/bin/cat /usr/local/bin/able"
        " && setcap cap_net_bind_service=ep /usr/local/bin/able"
    )
    used = (
        "as='setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all';"
        " $as id -u; $as as-root -u; $as as-mail -gn; getcap /usr/local/bin/able;"
        " $as cat /proc/self/status | grep CapEff; $as able /proc/self/status | grep CapEff"
    )
    wanted = [
        "1000",
        "0",
        "mail",
        "/usr/local/bin/able cap_net_bind_service=ep",
        "CapEff:\t0000000000000000",
        "CapEff:\t0000000000000400",
    ]
    assert bench.sh(used).splitlines() == wanted
    assert_kept(bench, "/usr/local/bin")
    assert bench.sh(used).splitlines() == wanted


def test_hard_links_stay_one_file(bench: Stoppable) -> None:
    bench.sh(
        "mkdir -p /kept/far/away && echo one > /kept/a && ln /kept/a /kept/b"
        " && ln /kept/a /kept/far/away/c && ln -s a /kept/s && ln -P /kept/s /kept/t"
        " && ln /usr/share/common-licenses/BSD /kept/from-the-image"
    )
    seen = assert_kept(bench, "/kept")
    assert [seen[f"/kept/{name}"]["links"] for name in ("a", "far/away/c", "t")] == [3, 3, 2]
    assert seen["/kept/from-the-image"]["links"] == 2
    bench.sh("echo two >> /kept/far/away/c")
    assert bench.exec("cat", "/kept/a", "/kept/b").split() == ["one", "two"] * 2
    same = bench.sh("stat -c %i /kept/a /kept/b /kept/far/away/c | sort -u")
    assert len(same.split()) == 1
    bench.sh("rm /kept/b")
    assert bench.exec("stat", "-c", "%h", "/kept/a").strip() == "2"


def test_device_nodes_fifos_and_sockets(bench: Stoppable) -> None:
    bench.sh(
        "mkdir /kept && cd /kept && mknod -m 666 null c 1 3 && mknod disk b 7 99 && mkfifo pipe"
    )
    python(bench, "import socket; socket.socket(socket.AF_UNIX).bind('/kept/socket')")
    seen = assert_kept(bench, "/kept")
    assert (seen["/kept/null"]["device"], seen["/kept/disk"]["device"]) == (0x103, 0x763)
    said = bench.sh(
        "cd /kept; echo lost > null && wc -c < null; (echo through > pipe &) && cat pipe;"
        " stat -c %F null disk pipe socket"
    )
    assert said.splitlines() == [
        *("0", "through"),
        *("character special file", "block special file", "fifo", "socket"),
    ]


def test_a_file_longer_than_4_gib_with_holes(bench: Stoppable) -> None:
    length = 5 * GIB + 12345
    places = (0, 4 * GIB - 5, length - 5)
    python(
        bench,
        f"""
with open("/long", "xb") as file:
    for place in {places}:
        file.seek(place)
        file.write(b"%05d" % (place % 99991))
""",
    )
    kept = assert_kept(bench, "/long")["/long"]
    assert kept["size"] == length
    script = f"""
import os
with open("/long", "rb") as file:
    for place in {places}:
        file.seek(place - 5 if place else 0)
        print(file.read(15))
print(os.stat("/long").st_blocks * 512 < 1 << 20)
"""
    expected = [bytes(5 if place else 0) + b"%05d" % (place % 99991) for place in places]
    expected[0] += bytes(10)
    expected[1] += bytes(5)
    assert python(bench, script).splitlines() == [*map(repr, expected), "True"]


def test_a_moved_folder_of_the_image_is_whole_at_its_new_place(bench: Stoppable) -> None:
    """The kernel moves no folder of a lower layer, so that mv copies it, as in any container."""
    first, second = "/usr/share/common-licenses", "/var/lib/dpkg/info"
    before = look(bench, first, second)
    assert len(before) > 100
    bench.exec("mv", first, "/moved by mv")
    python(
        bench,
        f"""
import errno, os, shutil
try:
    os.rename("{second}", "/moved by python")
except OSError as error:
    assert error.errno == errno.EXDEV, error
else:
    raise SystemExit("the folder was renamed")
shutil.move("{second}", "/moved by python")
# One that exists in the upper only is renamed at once.
os.makedirs("/own/inner")
os.rename("/own", "/renamed")
""",
    )
    after = assert_kept(bench, "/moved by mv", "/moved by python", "/renamed")
    assert "/renamed/inner" in after
    moved = {
        name.replace(first, "/moved by mv").replace(second, "/moved by python"): found
        for name, found in before.items()
    }
    assert moved == {name: look for name, look in after.items() if "/moved" in name}
    gone = bench.sh(f"ls -d {first} {second} /own 2>&1; true")
    assert gone.count("No such file or directory") == 3


def test_what_was_deleted_of_the_image_stays_deleted(bench: Stoppable) -> None:
    bench.sh(
        "set -e; cd /usr/share; rm common-licenses/BSD base-files/motd; rm -r perl5 debconf pam"
        "; mkdir perl5 && echo mine > perl5/mine"  # opaque: nothing shines through
        "; mkdir /own && echo own > /own/file && mv /own debconf"  # over a whiteout
        "; rm /usr/bin/perl && mkdir /usr/bin/perl"  # a folder where a file was
        "; echo file > pam"  # and the other way round
    )
    assert_kept(bench, "/usr/share/perl5", "/usr/share/debconf", "/usr/bin/perl", "/usr/share/pam")
    said = bench.sh("cd /usr/share; ls -A perl5 debconf /usr/bin/perl; cat pam")
    assert said.split() == ["/usr/bin/perl:", "debconf:", "file", "perl5:", "mine", "file"]
    left = bench.sh("cd /usr/share; ls common-licenses base-files").split()
    assert "GPL-3" in left
    assert not {"BSD", "motd"} & set(left)


def test_a_hundred_thousand_files(bench: Stoppable) -> None:
    python(
        bench,
        """
import os
for folder in range(100):
    os.makedirs(f"/many/{folder}")
    for number in range(1000):
        os.close(os.open(f"/many/{folder}/file-{number}", os.O_CREAT | os.O_EXCL, 0o600))
""",
    )
    count = (
        "find /many -printf '%y %m %U %T@ %P\\n' | sort > /names; sha256sum /names; wc -l /names"
    )
    before = bench.sh(count)
    assert before.split()[2] == "100101"
    cycle(bench)
    assert bench.sh(count) == before


def test_unusual_names(bench: Stoppable) -> None:
    """Also a path that is too long for any system call."""
    python(
        bench,
        r"""
import os
NAMES = [
    b"new\nline", b"\xff\xfe", b"x" * 255, b"-rf", b" ", b"...", b"a\\b", b"*", b"\x01\x1b[31m",
    "é".encode(), "e\u0301".encode(), b".wh.image", b".wh..wh..opq", b"#1", b"%d%n",
]
os.makedirs("/names/folders")
for name in NAMES:
    with open(b"/names/" + name, "wb") as file:
        file.write(name)
    os.symlink(name, b"/names/folders/to " + name[:252])
    os.mkdir(b"/names/folders/" + name)
os.mkdir("/deep")
os.chdir("/deep")
for depth in range(20):
    os.mkdir("d" * 255)
    os.chdir("d" * 255)
with open("bottom", "w") as file:
    file.write("reached")
""",
    )
    seen = assert_kept(bench, "/names")
    assert len(seen) == 2 + 3 * 15
    assert {"/names/new\nline", "/names/\udcff\udcfe", f"/names/{'x' * 255}"} <= set(seen)
    reach = "import os; os.chdir('/deep'); [os.chdir('d' * 255) for _ in range(20)]"
    assert python(bench, f"{reach}; print(open('bottom').read())").strip() == "reached"
