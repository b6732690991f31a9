"""One table of all parameters: the source of declaration, ranges, refusals, config/attnchain.yaml and docs. ROS-free.

The table is the node's own options (``NodeConfig``) followed by every option of the method (``attnchain_ros.config``),
under the dotted names of ``config.flatten``.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import sys
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

from .. import wire
from ..config import Checked, RolloutConfig, check_option, flatten, option, replace
from ..errors import ConfigError
from ..live.config import LiveConfig
from ..masks.config import Sam2Config
from ..stream.config import StreamConfig, check_objects, check_queue
from ..threads import MOST_THREADS

Kind = Literal["bool", "int", "float", "str"]
Applies = Literal["start", "configure", "window"]


@dataclass(frozen=True)
class PublishConfig(Checked):
    """Which outputs exist; nothing is built for one without subscribers anyway."""

    mesh: bool = option(True, "publish ~/mesh")
    tracks: bool = option(True, "publish ~/tracks, one cloud per frame")
    tracks_window: bool = option(True, "publish ~/tracks_window")
    camera: bool = option(True, "publish ~/camera_pose, ~/object_pose and ~/camera_path")
    tf: bool = option(True, "publish TF from the camera frame to the object frame")
    markers: bool = option(True, "publish ~/markers (display only)")
    object_mesh: bool = option(
        True, "publish ~/object_mesh, the newest frame for planners, where shape_msgs is installed"
    )
    object_box: bool = option(True, "publish ~/object_box, its box, where vision_msgs is installed")


@dataclass(frozen=True)
class NodeConfig(StreamConfig):
    """Options of the node itself, after those of its stream of frames."""

    autostart: bool = option(True, "configure and activate at start-up; false: wait for lifecycle transitions")
    weights: str = option(
        "", "folder with the backbone's weights; empty = the small demonstration model of this package"
    )
    recommended: bool = option(
        True, "a parameter of the method that is not set takes the value that the weights folder recommends"
    )
    device: str = option("auto", "'auto', 'cpu', 'cuda' or 'cuda:N'; auto takes a GPU if there is one")
    dtype: str = option("auto", "precision of the backbone; auto = bfloat16 on a GPU, float32 on a CPU",
                        choices=("auto", "float32", "bfloat16", "float16"))  # fmt: skip
    threads: int = option(
        0,
        "threads of the computation on the CPU; 0 = OMP_NUM_THREADS or, where that is not set, one a core",
        low=0,
        high=MOST_THREADS,
    )
    host_thread: bool = option(
        True,
        "cameras, tracks and messages of a window are made in a thread of their own while the next one begins; results "
        "are the same",
    )
    anchor_mesh: str = option(
        "",
        "mesh file (glb, ply, obj) of the object as in the first frame; empty = made from the image; with {id} in its "
        "name each object has its own",
    )
    anchor_dir: str = option(
        "", "folder below which ~/set_anchor may read mesh files; empty = it takes only the bytes of a GLB"
    )
    image_transport: str = option("raw", "'raw' reads image, 'compressed' reads image/compressed",
                                  choices=("raw", "compressed"))  # fmt: skip
    mask_transport: str = option("raw", "'raw' reads mask, 'compressed' reads mask/compressed (PNG)",
                                 choices=("raw", "compressed"))  # fmt: skip
    use_depth: bool = option(True, "read depth; false: lengths stay unitless unless camera.object_size_m is given")
    object_id: int = option(
        1,
        "number of the object in messages and in the name of its frame; with max_objects above 1 masks hold them",
        low=0,
        high=2**31 - 1,
    )
    object_frame_prefix: str = option("", "the object's frame is <prefix>object_<object_id>")
    fixed_frame: str = option(
        "",
        "TF frame that stands still, such as odom: the object's pose, tracks and path are published in it too "
        "(docs/fixed_frame.md); empty = off",
    )
    tf_timeout_s: float = option(
        0.1, "how long a window may wait for transforms that have not come yet", unit="s", low=0.0, high=2.0
    )
    output_dir: str = option(
        "attnchain_output",
        "folder below which ~/save_mesh writes; made when needed; later only changed to one below that of the start",
    )
    restart_doubtful: int = option(
        4,
        "windows in a row without a trusted camera pose that make the chain start anew, each time in vain twice as "
        "many; 0 = never",
        unit="windows",
        low=0,
        high=1000,
    )
    markers_rate_hz: float = option(5.0, "most markers per second of image time", unit="Hz", low=0.01, high=1000.0)
    path_length: int = option(2000, "poses kept in ~/camera_path", low=1, high=100000)
    watchdog_s: float = option(
        5.0, "after so long without an image the log says why; 0 = never", unit="s", low=0.0, high=3600.0
    )
    live: bool = option(
        True, "follow the object between windows: TF <object>_live, ~/pose_live and ~/tracks_live for every image"
    )
    live_lane: LiveConfig = field(default_factory=LiveConfig)
    sam2: Sam2Config = field(default_factory=Sam2Config)
    publish: PublishConfig = field(default_factory=PublishConfig)


_AT_START = frozenset({"autostart"})
_AT_CONFIGURE = frozenset(
    {
        "weights",
        "recommended",
        "device",
        "dtype",
        "threads",
        "host_thread",
        "kernels.attention",
        "kernels.compile",
        "kernels.guidance",
        "anchor_mesh",
        "anchor_dir",
        "image_transport",
        "mask_transport",
        "foreground",
        "foreground_box",
        "image_rectified",
        "live",
        "max_objects",
        "object_frame_prefix",
        "object_id",
        "fixed_frame",
        "output_dir",
        "use_depth",
        "sam2.weights",
        "sam2.point",
        "sam2.not_point",
        "sam2.box",
    }
)


@dataclass(frozen=True)
class ParameterSpec:
    """One row of the table.

    Attributes:
        name: ROS parameter name.
        kind: type of its value.
        default: value without any setting.
        doc: one sentence.
        unit: unit of the value, "" = none.
        low, high: range, None = open.
        choices: allowed strings, None = free.
        applies: "start" (read-only), "configure" (refused while configured), "window" (from the next window on).
    """

    name: str
    kind: Kind
    default: bool | int | float | str
    doc: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...] | None
    applies: Applies


@dataclass(frozen=True)
class NodeSettings:
    """All parameters of the node at one moment, checked against one another.

    Attributes:
        node: the node's own options.
        rollout: the method's options.
        explicit: names of those of the method's options that someone set, whatever the value; the others give way to
            what the checkpoint recommends (``attnchain_ros.options``).
    Raises:
        ConfigError: options do not go together.
    """

    node: NodeConfig = field(default_factory=NodeConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    explicit: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_queue(self.node, self.rollout.frames)
        check_objects(self.node)
        _ = self.node.box
        if self.node.max_objects > 1:
            self.node.sam2.prompts(self.node.max_objects)
        else:
            self.node.sam2.prompt()

    @property
    def given(self) -> dict[str, Any]:
        """The method's options that were set, by dotted name."""
        values = flatten(self.rollout)
        return {name: values[name][1] for name in sorted(self.explicit)}

    @property
    def object_frame(self) -> str:
        """Name of the object's TF frame."""
        return f"{self.node.object_frame_prefix}object_{self.node.object_id}"

    @property
    def several(self) -> bool:
        """Whether objects come and go by the ids in masks."""
        return self.node.max_objects > 1

    def names(self, camera_frame: str) -> wire.Names:
        """What frames and object are called in messages; ``camera_frame``: frame_id of the images."""
        return wire.Names(camera_frame, self.object_frame, self.node.object_id, self.several)

    def of_object(self, object_id: int) -> NodeSettings:
        """The same settings with an object's own number, which names its frame."""
        if object_id == self.node.object_id:
            return self
        return dataclasses.replace(self, node=dataclasses.replace(self.node, object_id=object_id))


def _kind(value: Any) -> Kind:
    names: dict[type, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}
    return names[type(value)]


def parameter_table() -> dict[str, ParameterSpec]:
    """Every parameter by name, the node's own first."""
    table: dict[str, ParameterSpec] = {}
    for config in (NodeConfig(), RolloutConfig()):
        for name, (item, value) in flatten(config).items():
            meta = item.metadata
            table[name] = ParameterSpec(
                name=name,
                kind=_kind(value),
                default=value,
                doc=meta["doc"],
                unit=meta["unit"],
                low=meta["low"],
                high=meta["high"],
                choices=meta["choices"],
                applies="start" if name in _AT_START else "configure" if name in _AT_CONFIGURE else "window",
            )
    return table


TABLE = parameter_table()
_NODE_NAMES = frozenset(flatten(NodeConfig()))


def coerce(name: str, value: Any) -> bool | int | float | str:
    """A value as the type of its parameter; whole numbers are welcome where a float is wanted.

    Raises:
        ConfigError: unknown parameter (near names are listed) or another type.
    """
    if name not in TABLE:
        near = difflib.get_close_matches(name, TABLE, n=3)
        raise ConfigError(f"unknown parameter {name!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    kind = TABLE[name].kind
    if kind == "float" and type(value) is int:
        return float(value)
    wanted = {"bool": bool, "int": int, "float": float, "str": str}[kind]
    if type(value) is not wanted:
        raise ConfigError(f"{name} is {value!r} ({type(value).__name__}), wanted a value of type {kind}")
    return value  # type: ignore[return-value]


def check_value(name: str, raw: Any) -> bool | int | float | str:
    """One value by itself: its type and its range.

    Raises:
        ConfigError: names the ROS parameter, the value and what is wanted.
    """
    value = coerce(name, raw)
    holder = flatten(NodeConfig() if name in _NODE_NAMES else RolloutConfig())
    try:
        check_option(holder[name][0], value, name.rpartition(".")[0])
    except ConfigError as error:
        raise ConfigError(str(error).lstrip(".")) from None
    return value


def change(settings: NodeSettings, changes: dict[str, Any], *, configured: bool = False) -> NodeSettings:
    """Settings with some parameters changed, all checks done.

    Args:
        settings: the settings now.
        changes: new values by parameter name.
        configured: refuse the parameters that are only read when the node is configured.
    Raises:
        ConfigError: says which parameter, which value and what is wanted.
    """
    own: dict[str, Any] = {}
    method: dict[str, Any] = {}
    for name, raw in changes.items():
        value = check_value(name, raw)
        if configured and TABLE[name].applies != "window" and value != value_of(settings, name):
            raise ConfigError(f"{name} is only read when the node is configured: clean it up first, then set it")
        (own if name in _NODE_NAMES else method)[name] = value
    return NodeSettings(replace(settings.node, own), replace(settings.rollout, method), settings.explicit.union(method))


def value_of(settings: NodeSettings, name: str) -> bool | int | float | str:
    """The present value of one parameter."""
    holder: Any = settings.node if name in _NODE_NAMES else settings.rollout
    for part in name.split("."):
        holder = getattr(holder, part)
    return holder


def describe_range(spec: ParameterSpec) -> str:
    """The range in words, "" where everything is allowed."""
    if spec.choices is not None:
        return "one of " + ", ".join(spec.choices)
    if spec.low is not None and spec.high is not None:
        return f"{_limit(spec.low)} to {_limit(spec.high)}"
    if spec.low is not None:
        return f"at least {_limit(spec.low)}"
    return f"at most {_limit(spec.high)}" if spec.high is not None else ""


def _limit(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


_WHEN: dict[Applies, str] = {"start": "read at start-up", "configure": "read when configured", "window": ""}


def parameters_yaml() -> str:
    """The text of config/attnchain.yaml: every parameter with its default, range and documentation.

    The method's own stand behind ``#: ``, since one that is set, even to its default, wins over the checkpoint's.
    """
    lines = [
        "# All parameters of attnchain_node with their defaults, by `python3 -m attnchain_ros.node.parameters`;",
        "# a test compares it with the table in the code. Copy what you change into a file of your own. Where a line",
        "# begins with '#: ' (the method's own), the weights folder may recommend another value than the default that",
        "# is shown; take the '#: ' away, from its group's line too, and your value counts instead.",
        "/**:",
        "  ros__parameters:",
    ]
    groups: list[str] = []
    for spec in TABLE.values():
        *path, leaf = spec.name.split(".")
        margin = "    " if spec.name in _NODE_NAMES else "    #: "
        if path != groups:
            # A group within the one before stands below it: a key that comes twice would hide the first.
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, groups, strict=False)))
            lines += [margin + "  " * (shared + level) + f"{group}:" for level, group in enumerate(path[shared:])]
            groups = path
        notes = [part for part in (describe_range(spec), spec.unit) if part]
        tail = "; ".join(part for part in (" ".join(notes), _WHEN[spec.applies]) if part)
        indent = "  " * len(path)
        lines.append(f"    {indent}# {spec.doc}" + (f" [{tail}]" if tail else ""))
        lines.append(f"{margin}{indent}{leaf}: {_scalar(spec.default)}")
    return "\n".join(lines) + "\n"


def parameters_markdown() -> str:
    """The text of docs/parameters.md: the same table for readers."""
    lines = [
        "# Parameters of attnchain_node",
        "",
        "Made by `python3 -m attnchain_ros.node.parameters --markdown > docs/parameters.md`; a test compares it with",
        "the table in the code, which is also the source of [config/attnchain.yaml](../config/attnchain.yaml) and of",
        "what `ros2 param describe` shows.",
        "",
        "A change takes effect at the next window. Parameters *read when configured* are refused while the node is",
        "configured (clean it up first), those *read at start-up* always. A refused change says which value was",
        "refused and what is allowed. The method's own options have the same names in `attnchain run --set`; for those",
        "that are not set, there as here, the weights folder's `attnchain.json` may recommend another value than the",
        "default shown.",
    ]
    group: str | None = None
    for spec in TABLE.values():
        path, _, _ = spec.name.rpartition(".")
        section = path or ("node" if spec.name in _NODE_NAMES else "method")
        if section != group:
            group = section
            lines += [
                "",
                f"## {_SECTIONS.get(section, f'The method: `{section}`')}",
                "",
                "| name | default | range | meaning |",
            ]
            lines += ["|---|---|---|---|"]
        allowed = " ".join(part for part in (describe_range(spec), spec.unit) if part)
        meaning = _MARKUP.sub(r"\\\g<0>", spec.doc) + (f" *({_WHEN[spec.applies]})*" if _WHEN[spec.applies] else "")
        cells = (f"`{spec.name}`", f"`{_scalar(spec.default)}`", allowed or spec.kind, meaning)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


_MARKUP = re.compile(r"[\\|<>*~`]")
_SECTIONS = {
    "node": "The node",
    "live_lane": "The live lane (`live_lane`)",
    "sam2": "Masks from a click (`sam2`)",
    "publish": "Outputs (`publish`)",
    "method": "The method",
}


def _scalar(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 reads 1e-06 as a string: a number in it needs a dot.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return str(value)


def _main() -> None:
    parser = argparse.ArgumentParser(description="Print the parameter table as config/attnchain.yaml.")
    parser.add_argument("--markdown", action="store_true", help="as docs/parameters.md instead")
    sys.stdout.write(parameters_markdown() if parser.parse_args().markdown else parameters_yaml())


if __name__ == "__main__":
    _main()
