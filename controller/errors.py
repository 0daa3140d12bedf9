"""The one list of what can go wrong outside; `kube` and `agents` raise these, nothing else.

`queue.BACKOFF` says how long each is waited out; `reason` ends in the object's conditions.

They say what is wrong, so none of them is called an Error.
"""


class ControllerError(Exception):
    """Something outside refused or failed; `reason` is a condition's CamelCase reason."""

    reason = "Failed"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        if reason:
            self.reason = reason


class InvalidSpec(ControllerError):
    """The user's object asks for what cannot be; only changing the object helps."""

    reason = "InvalidSpec"


class Rejected(ControllerError):
    """The other side understood and refused; asking again changes little."""

    reason = "Rejected"


class Denied(ControllerError):
    """The API server refused to create an object: quota, Pod Security, a webhook."""

    reason = "AdmissionDenied"


class NameTaken(ControllerError):
    """An object of somebody else has the name that ours must have."""

    reason = "NameTaken"


class NotYet(ControllerError):
    """Not now: busy, starting, or not reachable. Soon again."""

    reason = "NotYet"


class Busy(NotYet):
    """The agent holds back because a container still lives on the root."""

    reason = "RootBusy"


class NodeFailed(ControllerError):
    """The node tried and failed; its message says what."""

    reason = "MountFailed"


class Conflict(ControllerError):
    """Somebody wrote in between, or the object is another one by now: observe again."""

    reason = "Conflict"


class Absent(ControllerError):
    """What was to be changed does not exist: observe again."""

    reason = "Absent"


class LeaseLost(ControllerError):
    """This process may not act any more."""

    reason = "LeaseLost"
