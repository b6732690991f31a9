"""The parameter table as ROS parameters: descriptors, start-up values, and changes that are refused with a reason."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..errors import ConfigError
from .parameters import TABLE, NodeSettings, ParameterSpec, change, check_value, describe_range, value_of

_TYPES = {
    "bool": ParameterType.PARAMETER_BOOL,
    "int": ParameterType.PARAMETER_INTEGER,
    "float": ParameterType.PARAMETER_DOUBLE,
    "str": ParameterType.PARAMETER_STRING,
}
_LEAST_INT, _MOST_INT = -(2**63), 2**63 - 1
_MOST_FLOAT = 1.7976931348623157e308
_OTHERS = ("use_sim_time", "qos_overrides.", "start_type_description_service")


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """What ``ros2 param describe`` shows of one parameter.

    Floats are declared with a dynamic type, so that ``7`` is accepted for ``7.0``; the node checks type and range
    itself.
    """
    found = ParameterDescriptor(
        name=spec.name,
        type=_TYPES[spec.kind],
        description=spec.doc + (f" [{spec.unit}]" if spec.unit else ""),
        additional_constraints=describe_range(spec),
        read_only=spec.applies == "start",
        dynamic_typing=spec.kind == "float",
    )
    if spec.low is not None or spec.high is not None:
        if spec.kind == "int":
            low = _LEAST_INT if spec.low is None else int(spec.low)
            high = _MOST_INT if spec.high is None else int(spec.high)
            found.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
        else:
            low_float = -_MOST_FLOAT if spec.low is None else float(spec.low)
            high_float = _MOST_FLOAT if spec.high is None else float(spec.high)
            found.floating_point_range = [FloatingPointRange(from_value=low_float, to_value=high_float, step=0.0)]
    return found


class ParameterServer:
    """Keeps the node's settings equal to its ROS parameters.

    Args:
        node: the node to declare on.
        is_configured: parameters that are only read by configure are refused while this is true.
        check: may refuse changed settings by a ConfigError, for reasons that the table does not know.
        on_change: called with the new settings after each accepted change.
    Raises:
        ConfigError: a start-up value cannot be used; all faults are told at once.
    """

    def __init__(
        self,
        node: Node,
        is_configured: Callable[[], bool],
        check: Callable[[NodeSettings], None],
        on_change: Callable[[NodeSettings], None],
    ) -> None:
        self._node = node
        self._is_configured = is_configured
        self._check_further = check
        self._on_change = on_change
        self._lock = threading.Lock()
        overrides = dict(getattr(node, "_parameter_overrides", {}))
        _warn_unknown(node, overrides)
        values: dict[str, Any] = {}
        faults: list[str] = []
        settings = NodeSettings()
        for name in TABLE:
            # Checked before rclpy sees it: its own errors at this point name neither range nor reason.
            if name in overrides:
                try:
                    values[name] = check_value(name, overrides[name].value)
                except ConfigError as error:
                    faults.append(str(error))
        if not faults:
            try:
                settings = change(settings, values)
            except ConfigError as error:
                faults.append(str(error))
        if faults:
            raise ConfigError("; ".join(faults))
        for name, spec in TABLE.items():
            node.declare_parameter(name, spec.default, descriptor(spec))
        self._settings = settings
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._commit)

    @property
    def settings(self) -> NodeSettings:
        """The settings now."""
        with self._lock:
            return self._settings

    def refusal(self, parameters: list[Parameter]) -> str:
        """Why parameters cannot be set, "" = nothing speaks against them so far.

        Of unknown names, types, ranges and read-only ones rclpy has words of its own, which name neither the parameter
        nor what is wanted; so they are looked at first.
        """
        for parameter in parameters:
            name = parameter.name
            if name not in TABLE and self._node.has_parameter(name):
                continue
            try:
                value = check_value(name, parameter.value)
            except ConfigError as error:
                return str(error)
            if TABLE[name].applies == "start" and value != value_of(self.settings, name):
                return f"{name} is only read at start-up: give it with -p {name}:=... or in the node's YAML file"
        return ""

    def _ours(self, parameters: list[Parameter]) -> dict[str, Any]:
        return {parameter.name: parameter.value for parameter in parameters if parameter.name in TABLE}

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self._check_further(change(self.settings, self._ours(parameters), configured=self._is_configured()))
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _commit(self, parameters: list[Parameter]) -> None:
        ours = self._ours(parameters)
        if not ours:
            return
        with self._lock:
            self._settings = change(self._settings, ours)
            settings = self._settings
        self._on_change(settings)


def _warn_unknown(node: Node, overrides: dict[str, Any]) -> None:
    """ROS says nothing about misspelt names in a YAML file; we do."""
    for name in overrides:
        if name not in TABLE and not name.startswith(_OTHERS):
            near = difflib.get_close_matches(name, TABLE, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            node.get_logger().warning(f"parameter {name!r} was given but this node has none of that name{hint}")
