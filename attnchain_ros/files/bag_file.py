"""A rosbag2 folder that is being written: whole when it is there, and the same bytes for the same messages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from .. import wire
from ..errors import ConfigError
from .atomic import folder_then_rename
from .bag_types import bag_types

Storage = Literal["mcap", "sqlite3"]
_EVER = QosTime(2**31 - 1, 2**32 - 1)
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _EVER,
    _EVER,
    QosLiveliness.AUTOMATIC,
    _EVER,
    False,
)


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: its full name, the type of its messages, and whether players offer its last one for ever."""

    name: str
    kind: str
    latched: bool = False


BagFileT = TypeVar("BagFileT", bound="BagFile")


class BagFile:
    """A new bag; use it as a context manager. The folder appears whole when the block ends, or not at all.

    Args:
        path: folder to make.
        topics: what it holds, each under the short name that ``write`` takes.
        storage: its format.
        overwrite: replace an existing folder.
        compressed: chunks of an MCAP file by zstd, which every player takes.
    Raises:
        ConfigError: another storage, or compressed chunks of SQLite.
    """

    def __init__(
        self,
        path: Path,
        topics: Mapping[str, BagTopic],
        *,
        storage: Storage = "mcap",
        overwrite: bool = False,
        compressed: bool = False,
    ) -> None:
        if storage not in ("mcap", "sqlite3"):
            raise ConfigError(f"bag storage is {storage!r}, wanted mcap or sqlite3")
        if compressed and storage != "mcap":
            raise ConfigError(f"bag storage is {storage!r}, but only mcap has compressed chunks: leave one out")
        self._path = Path(path)
        self._wanted = topics
        self._topics: dict[str, Connection] = {}
        self._storage = storage
        self._overwrite = overwrite
        self._compressed = compressed
        self._types = bag_types()
        self._stack = ExitStack()

    @property
    def folder(self) -> Path:
        """Where the bag lies while it is written, for files that belong beside it."""
        return self._place

    def __enter__(self: BagFileT) -> BagFileT:
        """Open the bag in a temporary place."""
        with ExitStack() as stack:
            self._place = stack.enter_context(folder_then_rename(self._path, overwrite=self._overwrite))
            plugin = StoragePlugin.MCAP if self._storage == "mcap" else StoragePlugin.SQLITE3
            self._writer = Writer(self._place, version=9, storage_plugin=plugin)
            if self._compressed:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            stack.enter_context(self._writer)
            self._topics = {
                name: self._writer.add_connection(
                    topic.name,
                    topic.kind,
                    typestore=self._types,
                    offered_qos_profiles=(_LATCHED,) if topic.latched else (),
                )
                for name, topic in self._wanted.items()
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the bag and give it its name, or remove it after an error."""
        self._stack.__exit__(kind, error, trace)

    def write(self, name: str, stamp_ns: int, fields: wire.Fields) -> None:
        """Write one message, recorded at ``stamp_ns``.

        Args:
            name: short name of its topic.
            stamp_ns: when.
            fields: of the message, all of them.
        """
        topic = self._topics[name]
        data = self._types.serialize_cdr(build_message(self._types, topic.msgtype, fields), topic.msgtype)
        self._writer.write(topic, stamp_ns, bytes(data))


def build_message(types: Typestore, kind: str, fields: wire.Fields) -> Any:
    """A message of rosbags from its fields, all of which must be given."""
    members = dict(types.fielddefs[kind][1])
    values: dict[str, Any] = {}
    for name, value in fields.items():
        detail: Any = members[name][1]
        if isinstance(value, dict):
            values[name] = build_message(types, detail, value)
        elif isinstance(value, list):
            values[name] = [build_message(types, detail[0][1], item) for item in value]
        else:
            values[name] = value
    return types.types[kind](**values)
