from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    PROVIDER: _ClassVar[Role]
    CONSUMER: _ClassVar[Role]

class ProcessState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROCESS_STATE_UNSPECIFIED: _ClassVar[ProcessState]
    CONNECTING: _ClassVar[ProcessState]
    STOPPED: _ClassVar[ProcessState]
    STARTING: _ClassVar[ProcessState]
    RUNNING: _ClassVar[ProcessState]
    STOPPING: _ClassVar[ProcessState]
    FROZEN: _ClassVar[ProcessState]
ROLE_UNSPECIFIED: Role
PROVIDER: Role
CONSUMER: Role
PROCESS_STATE_UNSPECIFIED: ProcessState
CONNECTING: ProcessState
STOPPED: ProcessState
STARTING: ProcessState
RUNNING: ProcessState
STOPPING: ProcessState
FROZEN: ProcessState

class Holder(_message.Message):
    __slots__ = ("pod_uid", "pid", "since_unix_ms")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    pid: int
    since_unix_ms: int
    def __init__(self, pod_uid: _Optional[str] = ..., pid: _Optional[int] = ..., since_unix_ms: _Optional[int] = ...) -> None: ...

class Timeline(_message.Message):
    __slots__ = ("pod_uid", "sandbox_unix_us", "created_unix_us", "swapped_unix_us", "verified_unix_us", "running_unix_us", "stopping_unix_us", "stopped_unix_us", "synced_unix_us")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    SWAPPED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    RUNNING_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    STOPPING_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    STOPPED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    SYNCED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    sandbox_unix_us: int
    created_unix_us: int
    swapped_unix_us: int
    verified_unix_us: int
    running_unix_us: int
    stopping_unix_us: int
    stopped_unix_us: int
    synced_unix_us: int
    def __init__(self, pod_uid: _Optional[str] = ..., sandbox_unix_us: _Optional[int] = ..., created_unix_us: _Optional[int] = ..., swapped_unix_us: _Optional[int] = ..., verified_unix_us: _Optional[int] = ..., running_unix_us: _Optional[int] = ..., stopping_unix_us: _Optional[int] = ..., stopped_unix_us: _Optional[int] = ..., synced_unix_us: _Optional[int] = ...) -> None: ...

class Root(_message.Message):
    __slots__ = ("uid", "namespace", "name", "image", "image_digest", "chain_id", "mounted", "holder", "synced", "host_path", "admitted_provider_uid", "admitted_consumer_uid", "problem_reason", "problem_message", "process", "timeline")
    UID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    MOUNTED_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    HOST_PATH_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_PROVIDER_UID_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_CONSUMER_UID_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_REASON_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    uid: str
    namespace: str
    name: str
    image: str
    image_digest: str
    chain_id: str
    mounted: bool
    holder: Holder
    synced: bool
    host_path: str
    admitted_provider_uid: str
    admitted_consumer_uid: str
    problem_reason: str
    problem_message: str
    process: ProcessState
    timeline: Timeline
    def __init__(self, uid: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., image: _Optional[str] = ..., image_digest: _Optional[str] = ..., chain_id: _Optional[str] = ..., mounted: _Optional[bool] = ..., holder: _Optional[_Union[Holder, _Mapping]] = ..., synced: _Optional[bool] = ..., host_path: _Optional[str] = ..., admitted_provider_uid: _Optional[str] = ..., admitted_consumer_uid: _Optional[str] = ..., problem_reason: _Optional[str] = ..., problem_message: _Optional[str] = ..., process: _Optional[_Union[ProcessState, str]] = ..., timeline: _Optional[_Union[Timeline, _Mapping]] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("node", "ready", "reason", "message", "runtime")
    NODE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    node: str
    ready: bool
    reason: str
    message: str
    runtime: str
    def __init__(self, node: _Optional[str] = ..., ready: _Optional[bool] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., runtime: _Optional[str] = ...) -> None: ...

class EnsureRootRequest(_message.Message):
    __slots__ = ("fence", "uid", "namespace", "name", "image", "image_id")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    fence: int
    uid: str
    namespace: str
    name: str
    image: str
    image_id: str
    def __init__(self, fence: _Optional[int] = ..., uid: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., image: _Optional[str] = ..., image_id: _Optional[str] = ...) -> None: ...

class RootRequest(_message.Message):
    __slots__ = ("fence", "uid")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    fence: int
    uid: str
    def __init__(self, fence: _Optional[int] = ..., uid: _Optional[str] = ...) -> None: ...

class GetRootRequest(_message.Message):
    __slots__ = ("uid",)
    UID_FIELD_NUMBER: _ClassVar[int]
    uid: str
    def __init__(self, uid: _Optional[str] = ...) -> None: ...

class DeleteRootResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRootsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRootsResponse(_message.Message):
    __slots__ = ("node", "roots")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    node: NodeStatus
    roots: _containers.RepeatedCompositeFieldContainer[Root]
    def __init__(self, node: _Optional[_Union[NodeStatus, _Mapping]] = ..., roots: _Optional[_Iterable[_Union[Root, _Mapping]]] = ...) -> None: ...

class WatchRootsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchEvent(_message.Message):
    __slots__ = ("type", "root", "node")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_UNSPECIFIED: _ClassVar[WatchEvent.Type]
        NODE: _ClassVar[WatchEvent.Type]
        ROOT: _ClassVar[WatchEvent.Type]
        ROOT_DELETED: _ClassVar[WatchEvent.Type]
        SNAPSHOT_END: _ClassVar[WatchEvent.Type]
    TYPE_UNSPECIFIED: WatchEvent.Type
    NODE: WatchEvent.Type
    ROOT: WatchEvent.Type
    ROOT_DELETED: WatchEvent.Type
    SNAPSHOT_END: WatchEvent.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    type: WatchEvent.Type
    root: Root
    node: NodeStatus
    def __init__(self, type: _Optional[_Union[WatchEvent.Type, str]] = ..., root: _Optional[_Union[Root, _Mapping]] = ..., node: _Optional[_Union[NodeStatus, _Mapping]] = ...) -> None: ...

class AdmitPodRequest(_message.Message):
    __slots__ = ("fence", "root_uid", "role", "namespace", "pod_name", "pod_uid", "container", "init", "entrypoint_from_image", "cmd_from_image", "gid_from_root", "groups_from_root", "supervise")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    ROOT_UID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_NAME_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    INIT_FIELD_NUMBER: _ClassVar[int]
    ENTRYPOINT_FROM_IMAGE_FIELD_NUMBER: _ClassVar[int]
    CMD_FROM_IMAGE_FIELD_NUMBER: _ClassVar[int]
    GID_FROM_ROOT_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FROM_ROOT_FIELD_NUMBER: _ClassVar[int]
    SUPERVISE_FIELD_NUMBER: _ClassVar[int]
    fence: int
    root_uid: str
    role: Role
    namespace: str
    pod_name: str
    pod_uid: str
    container: str
    init: bool
    entrypoint_from_image: bool
    cmd_from_image: bool
    gid_from_root: bool
    groups_from_root: bool
    supervise: bool
    def __init__(self, fence: _Optional[int] = ..., root_uid: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., namespace: _Optional[str] = ..., pod_name: _Optional[str] = ..., pod_uid: _Optional[str] = ..., container: _Optional[str] = ..., init: _Optional[bool] = ..., entrypoint_from_image: _Optional[bool] = ..., cmd_from_image: _Optional[bool] = ..., gid_from_root: _Optional[bool] = ..., groups_from_root: _Optional[bool] = ..., supervise: _Optional[bool] = ...) -> None: ...

class StartProcessRequest(_message.Message):
    __slots__ = ("fence", "uid", "pod_uid", "post_start")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    POST_START_FIELD_NUMBER: _ClassVar[int]
    fence: int
    uid: str
    pod_uid: str
    post_start: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, fence: _Optional[int] = ..., uid: _Optional[str] = ..., pod_uid: _Optional[str] = ..., post_start: _Optional[_Iterable[str]] = ...) -> None: ...

class StopProcessRequest(_message.Message):
    __slots__ = ("fence", "uid", "pod_uid", "grace_ms", "pre_stop", "freeze")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    PRE_STOP_FIELD_NUMBER: _ClassVar[int]
    FREEZE_FIELD_NUMBER: _ClassVar[int]
    fence: int
    uid: str
    pod_uid: str
    grace_ms: int
    pre_stop: _containers.RepeatedScalarFieldContainer[str]
    freeze: bool
    def __init__(self, fence: _Optional[int] = ..., uid: _Optional[str] = ..., pod_uid: _Optional[str] = ..., grace_ms: _Optional[int] = ..., pre_stop: _Optional[_Iterable[str]] = ..., freeze: _Optional[bool] = ...) -> None: ...

class AdmitPodResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DebugRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DebugResponse(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...
