"""What is built, and under which name it is kept: programs, images, the environment."""

import dataclasses

import pytest

from deploy.local import images, toolchain, venv


@pytest.mark.parametrize("tool_set", toolchain.ALL_SETS, ids=lambda one: one.name)
def test_every_set_of_programs_pins_a_version(tool_set: toolchain.ToolSet) -> None:
    assert tool_set.version.startswith("v")
    assert tool_set.version in tool_set.folder().name


def test_the_cluster_has_all_its_programs() -> None:
    programs = {name for one in toolchain.CLUSTER_SETS for name in one.programs()}

    assert programs >= {
        *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        *("kubelet", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr"),
    }


def test_the_api_server_knows_its_version() -> None:
    linker = toolchain.KUBERNETES.flags()[-1]

    assert f"version.gitVersion={toolchain.KUBERNETES.version}" in linker


def test_other_flags_are_another_build() -> None:
    other = dataclasses.replace(toolchain.CONTAINERD, tags=())

    assert other.folder() != toolchain.CONTAINERD.folder()


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("module x\n\ntool a/b\n", ["a/b"]),
        ("module x\n\ntool (\n\ta/b\n\tc/d\n)\n\nrequire e v1\n", ["a/b", "c/d"]),
    ],
)
def test_tool_lines_are_read_in_both_forms(text: str, packages: list[str]) -> None:
    assert toolchain.tool_packages(text) == packages


def test_a_changed_base_changes_what_is_built_on_it() -> None:
    base = images.DEBIAN
    other = dataclasses.replace(base, names=("another:1",))
    built = dataclasses.replace(images.PYTHON, on=other)

    assert built.digest() != images.PYTHON.digest()
    assert built.stored() != images.PYTHON.stored()


def test_every_name_of_an_image_has_an_archive_of_its_own() -> None:
    archives = [image.archive(name) for image in images.TEST_IMAGES for name in image.names]

    assert len(set(archives)) == len(archives)


def test_every_recipe_is_an_image_of_the_suite() -> None:
    folders = {folder.name for folder in images.PYTHON.folder.parent.iterdir()}

    assert folders == {image.recipe for image in (*images.TEST_IMAGES, images.PYTHON)}


@pytest.mark.parametrize("image", images.TEST_IMAGES, ids=lambda one: one.recipe)
def test_no_image_carries_the_lists_of_packages(image: images.Image) -> None:
    """They are most of what apt downloads, and every node imports every image."""
    last_stage = (image.folder / "Dockerfile").read_text().rpartition("FROM ")[2]

    assert ("apt-get update" in last_stage) == ("rm -rf /var/lib/apt/lists/*" in last_stage)


def test_our_own_packages_are_not_installed() -> None:
    text = """
[project]
dependencies = ["a"]
[project.optional-dependencies]
controller = ["b", "c"]
agent = ["c"]
cli = []
dev = ["d"]
other = ["e"]
"""

    assert venv.requirements(text) == ["a", "b", "c", "d"]
