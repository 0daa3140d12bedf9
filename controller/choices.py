"""What the spec lets the user choose between; the first of each is the default.

`observe` reads them, `plan` and what it asks act on them.
"""

from enum import StrEnum


class UpdatePolicy(StrEnum):
    """When a changed template applies to a container that runs."""

    ON_NEXT_START = "OnNextStart"
    RESTART = "Restart"


class ImageChangePolicy(StrEnum):
    """What another image in the template means for a root that exists."""

    KEEP = "Keep"
    RESET = "Reset"


class StopMode(StrEnum):
    """What a stop keeps."""

    COLD = "Cold"
    WARM = "Warm"
    FREEZE = "Freeze"
