"""Which image a root is on, which one is asked for, and whether the provider has brought it; pure.

`plan` acts on it, `conditions` says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.choices import ImageChangePolicy
from controller.template import digest

if TYPE_CHECKING:
    from controller.model import Observed, Parent, Pod


def lost_data(seen: Observed) -> bool:
    """A root with data is on record, and its node says that there is none."""
    return seen.had_root and seen.agent.connected and seen.root is None


def image_changed(seen: Observed, parent: Parent) -> bool:
    """The template names another image than the root was made from."""
    root, template = seen.root, parent.template
    return bool(root and root.image and template and root.image != template.image)


def wants_reset(seen: Observed, parent: Parent) -> bool:
    """The next start is on a new root."""
    return parent.image_change_policy is ImageChangePolicy.RESET and image_changed(seen, parent)


def provider_image(seen: Observed, parent: Parent) -> str:
    """The image that the provider brings: the root's, or that of the root which is to be made."""
    asked = parent.template.image if parent.template else ""
    return asked if seen.root is None or wants_reset(seen, parent) else seen.root.image


def outdated_provider(seen: Observed, parent: Parent, pod: Pod) -> bool:
    """Until a root is made, the provider follows the template: that is how a wrong image heals.

    After that only the image of a new root matters.
    """
    if lost_data(seen) or parent.template is None:
        return False
    if seen.home and not seen.agent.connected:
        return False
    if seen.root is None:
        changed = pod.template_hash != digest(parent.template)
        return changed or pod.image != parent.template.image
    if parent.image_change_policy is not ImageChangePolicy.RESET:
        return False
    return pod.image != parent.template.image


def image_on_node(seen: Observed, parent: Parent) -> str:
    """What the runtime calls the template's image, once the provider has brought it."""
    provider = seen.provider
    if provider is None or not provider.ours or provider.deleting or provider.node != seen.home:
        return ""
    # A provider made before the template named another image has the wrong layers.
    if outdated_provider(seen, parent, provider):
        return ""
    template = parent.template
    return provider.container.image_id if template and provider.image == template.image else ""
