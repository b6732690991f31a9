"""The lifecycle node: transitions that mirror one another, services, timers.

configure loads the weights and starts the worker, cleanup undoes it; activate subscribes, deactivate undoes it. rclpy
turns an exception in a transition into a silent ERROR, so every transition here catches, says why, and leaves nothing
half done.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from attnchain_ros.srv import GetMesh, ResetObject, SaveMesh, SetAnchor

from .. import wire
from ..errors import AttnChainError, InputError
from . import qos
from .anchoring import AnchorWish
from .building import build
from .declaration import ParameterServer
from .diagnostics import Diagnostics, add_lookups, add_objects, object_status, status_message
from .parameters import NodeSettings
from .quiet import QuietNode
from .saving import check_output_dir, output_folder, save_result
from .session import Session
from .watchdog import explain_losses, explain_missing_masks, explain_silence
from .worker import Engine

_WATCHDOG_REPEAT_S = 30.0
# A program that has to end within 5 s waits so long for a window, then for a file.
_END_TIMEOUT_S = 2.0
_SAVING_TIMEOUT_S = 1.0
_NOT_CONFIGURED = "the node is not configured: configure and activate it first"
_BUSY = "busy: another file is being written, ask again"
_ANCHOR_BUSY = "busy: another anchor is being prepared, ask again"
_NO_MESH = "there is no mesh yet: wait for the first window"


class AttnChainNode(QuietNode):
    """Camera images and masks in; animated mesh, tracks, camera poses and TF out.

    Args:
        make_engine: builds the engine from the settings, in the worker's thread.
        **arguments: of rclpy's ``LifecycleNode`` (for tests: context, parameter_overrides, ...).
    Raises:
        ConfigError: start-up parameters cannot be used.
    """

    def __init__(self, make_engine: Callable[[NodeSettings], Engine], **arguments: Any) -> None:
        super().__init__("attnchain_node", **arguments)
        self._make_engine = make_engine
        self._session: Session | None = None
        self._is_active = False
        self._ending = threading.Event()
        self._saving = threading.Lock()
        self._silence = ""
        self._silence_told_s = float("-inf")
        self._active_since_s = 0.0
        self._server = ParameterServer(
            self, lambda: self._session is not None, self._check_parameters, self._on_parameters
        )
        self._output_root = output_folder(self._server.settings.node.output_dir)
        self._diagnostics = Diagnostics(self)
        timers = MutuallyExclusiveCallbackGroup()
        calls: Any = {"callback_group": ReentrantCallbackGroup(), "qos_profile": qos.services()}
        self.create_service(Trigger, "~/reset", self._on_reset, **calls)
        self.create_service(ResetObject, "~/reset_object", self._on_reset_object, **calls)
        self.create_service(SetBool, "~/enable", self._on_enable, **calls)
        self.create_service(SaveMesh, "~/save_mesh", self._on_save_mesh, **calls)
        self.create_service(GetMesh, "~/get_mesh", self._on_get_mesh, **calls)
        self.create_service(SetAnchor, "~/set_anchor", self._on_set_anchor, **calls)
        # Steady time: with use_sim_time a paused clock must not silence the diagnostics.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.5, self._look_after, callback_group=timers, clock=steady)
        self.create_timer(1.0, self._diagnose, callback_group=timers, clock=steady)
        # Only backwards: with a fast bag one tick of /clock can be long, and a real gap shows in the stamps.
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._clock_jumps = self.get_clock().create_jump_callback(backwards, post_callback=self._on_clock_jump)
        if self._server.settings.node.autostart:
            # In the group of the transition services, so that the two cannot run at once.
            self._autostart = self.create_timer(0.001, self._start_up, clock=steady)

    @property
    def session(self) -> Session | None:
        """Everything that lives from configure to cleanup, None when not configured."""
        return self._session

    def end(self) -> bool:
        """Stop everything because the program ends; False if the worker is in a step that cannot be interrupted."""
        self._ending.set()
        self._is_active = False
        session, self._session = self._session, None
        if session is None:
            return True
        session.deactivate()
        ended = session.close(_END_TIMEOUT_S)
        # A file that is being written is finished, or at least is not left behind half written.
        if self._saving.acquire(timeout=_SAVING_TIMEOUT_S):
            self._saving.release()
        return ended

    # ------------------------------------------------------------------------------------------ transitions

    def _start_up(self) -> None:
        self._autostart.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            if not self._ending.is_set():
                self.trigger_activate()
        elif not self._ending.is_set():
            self.get_logger().error("autostart stopped: see above; put it right and trigger configure again")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, start the worker, create the publishers."""

        def work() -> None:
            started = time.monotonic()
            self._session = Session(self, self._server.settings, self._make_engine, self._ending.is_set)
            super(AttnChainNode, self).on_configure(state)
            seconds = time.monotonic() - started
            self.get_logger().info(f"configured in {seconds:.1f} s: {self._needed().description}")

        return self._transition("configure", work, undo=self._drop_session)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen and to compute."""

        def work() -> None:
            super(AttnChainNode, self).on_activate(state)
            self._active_since_s = time.monotonic()
            self._needed().activate()
            self._is_active = True
            self.get_logger().info(f"active: waiting for images on {self.resolve_topic_name('image')}")

        def undo() -> None:
            self._needed().deactivate()
            super(AttnChainNode, self).on_deactivate(state)

        return self._transition("activate", work, undo=undo)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and computing; the weights stay loaded."""

        def work() -> None:
            self._is_active = False
            self._needed().deactivate()
            super(AttnChainNode, self).on_deactivate(state)

        return self._transition("deactivate", work)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything that configure took."""
        return self._transition("cleanup", self._drop_session)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop from any state."""

        def work() -> None:
            if self._is_active:
                self._is_active = False
                self._needed().deactivate()
            self._drop_session()

        return self._transition("shutdown", work)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Clean up after a transition that failed half way; the node can then be configured again."""

        def work() -> None:
            self._is_active = False
            self._drop_session()

        return self._transition("error clean-up", work)

    def _transition(
        self, name: str, work: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Run one transition. With ``undo`` a fault brings the node back to where it was (FAILURE), else an ERROR."""
        try:
            work()
            return TransitionCallbackReturn.SUCCESS
        except Exception as error:  # rclpy would swallow it without a word
            if self._ending.is_set():
                return TransitionCallbackReturn.FAILURE
            self._tell(name, error)
        if undo is None:
            return TransitionCallbackReturn.ERROR
        try:
            undo()
        except Exception as error:
            self._tell(f"undoing {name}", error)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.FAILURE

    def _tell(self, name: str, error: Exception) -> None:
        self.get_logger().error(f"{name} failed: {type(error).__name__}: {error}")
        if not isinstance(error, AttnChainError):
            self.get_logger().error("".join(traceback.format_exception(error)))

    def _needed(self) -> Session:
        if self._session is None:
            raise RuntimeError(_NOT_CONFIGURED)
        return self._session

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None and not session.close():
            self.get_logger().warning("the worker is inside a step that cannot be interrupted; it ends after it")

    # ------------------------------------------------------------------------------------------ parameters, services

    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        """As rclpy's, which the parameter services call; a refusal names the parameter, its value and the limit."""
        reason = self._server.refusal(parameter_list)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        return super().set_parameters_atomically(parameter_list)

    def _check_parameters(self, settings: NodeSettings) -> None:
        check_output_dir(settings.node.output_dir, self._output_root)
        session = self._session
        if session is not None:
            session.check(settings)

    def _on_parameters(self, settings: NodeSettings) -> None:
        session = self._session
        if session is None:
            return
        session.apply(settings)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        session = self._session
        response.success = session is not None
        response.message = _NOT_CONFIGURED if session is None else "the next frame starts a new chain"
        if session is not None:
            session.reset(0)
        return response

    def _on_reset_object(self, request: ResetObject.Request, response: ResetObject.Response) -> ResetObject.Response:
        session = self._session
        response.success = False
        if session is None:
            response.message = _NOT_CONFIGURED
            return response
        try:
            session.reset(request.object_id)
        except InputError as error:
            response.message = str(error)
            return response
        which = f"object {request.object_id}" if request.object_id else "every object"
        response.success, response.message = True, f"the next frame starts a new chain of {which}"
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        session = self._session
        response.success = session is not None
        if session is None:
            response.message = _NOT_CONFIGURED
            return response
        session.streams.set_enabled(request.data)
        if not request.data:
            session.streams.reset("disabled")
        response.message = "enabled" if request.data else "disabled: frames are counted and dropped"
        return response

    def _on_save_mesh(self, request: SaveMesh.Request, response: SaveMesh.Response) -> SaveMesh.Response:
        session = self._session
        response.success = False
        if session is None:
            response.message = _NOT_CONFIGURED
            return response
        try:
            result = session.choose(request.object_id).latest
            if result is None:
                response.message = _NO_MESH
                return response
            folder = output_folder(session.settings.node.output_dir)
            if not self._saving.acquire(blocking=False):
                response.message = _BUSY
                return response
            try:
                path = save_result(result, folder, request.path, overwrite=request.overwrite)
            finally:
                self._saving.release()
        except (AttnChainError, OSError) as error:
            response.message = str(error)
            return response
        response.success, response.path = True, str(path)
        response.message = (
            f"wrote {path.stat().st_size} bytes: {result.frames} frames of {result.vertices.shape[1]} vertices"
        )
        return response

    def _on_get_mesh(self, request: GetMesh.Request, response: GetMesh.Response) -> GetMesh.Response:
        session = self._session
        response.success = False
        if session is None:
            response.message = _NOT_CONFIGURED
            return response
        try:
            track = session.choose(request.object_id)
        except InputError as error:
            response.message = str(error)
            return response
        result = track.latest
        if result is None:
            response.message = _NO_MESH
            return response
        names = session.settings.of_object(track.object_id).names("")
        response.mesh = build("attnchain_ros/msg/AnimatedMesh", wire.mesh(result, names))
        response.success = True
        response.message = f"window {result.index}: {result.frames} frames of {result.vertices.shape[1]} vertices"
        return response

    def _on_set_anchor(self, request: SetAnchor.Request, response: SetAnchor.Response) -> SetAnchor.Response:
        session = self._session
        response.success = False
        if session is None:
            response.message = _NOT_CONFIGURED
            return response
        wish = AnchorWish(
            request.path,
            bytes(request.glb),
            request.generated,
            request.rotation_deg.strip(),
            request.size_m,
            request.object_id,
        )
        try:
            found = session.set_anchor(wish)
        except (AttnChainError, OSError) as error:
            response.message = f"the anchor stays as it is: {error}"
            return response
        if found is None:
            response.message = _ANCHOR_BUSY
            return response
        response.success, response.message = True, found.describe()
        if found.facts is not None:
            response.vertices, response.triangles = found.facts.vertices, found.facts.triangles
            response.components, response.turned = found.facts.components, found.facts.turned
            response.watertight, response.longest_side = found.facts.watertight, found.facts.longest_side
        self.get_logger().info(f"set_anchor: {response.message}")
        return response

    # ------------------------------------------------------------------------------------------ timers, clock

    def _on_clock_jump(self, jump: TimeJump) -> None:
        session = self._session
        if session is not None:
            session.streams.clock_jumped(self.get_clock().now().nanoseconds)
            self.get_logger().warning(f"the clock jumped by {jump.delta.nanoseconds * 1e-9:.3f} s")

    def _look_after(self) -> None:
        session = self._session
        if session is not None and self._is_active:
            session.look_after()

    def _diagnose(self) -> None:
        session, now = self._session, time.monotonic()
        accounts = session.streams.accounts() if session is not None else None
        figures = session.statistics.snapshot(now) if session is not None else None
        live = session.live_figures if session is not None else None
        masks = session.mask_figures if session is not None else None
        objects = session.object_figures if session is not None else []
        counts = session.streams.counts() if session is not None else {}
        state = "active" if self._is_active else "inactive" if session is not None else "unconfigured"
        self._silence = self._watch(session, now) if session is not None and self._is_active else ""
        name = self.get_fully_qualified_name()
        status = status_message(name, state, self._silence, accounts, figures, live, masks=masks)
        add_objects(status, objects, counts)
        if session is not None:
            add_lookups(status, session.lookup_failures, session.looked_up_by)
        self._diagnostics.publish(status, [object_status(name, state, one) for one in objects])

    def _watch(self, session: Session, now: float) -> str:
        """Why nothing comes, "" if it does; logged now and then."""
        limit = session.settings.node.watchdog_s
        if not limit or now - self._active_since_s < limit:
            return ""
        silent_s = session.statistics.snapshot(now).last_image_s
        masks = session.streams.mask_wait()
        text, lost = "", explain_losses(self, session.inputs.image, session.inputs.losses.loss(now))
        if not silent_s < limit:  # also NaN: never an image
            # A clip may have ended while its windows are still computed: then something does come.
            if not session.streams.accounts().in_flight:
                heard = not math.isnan(silent_s)
                why = explain_silence(self, session.inputs.image, lost, heard=heard)
                text = f"no image for {silent_s if heard else limit:.0f} s: {why}"
        elif masks.seconds >= limit:
            made = session.mask_figures
            text = f"no image has got a mask for {masks.seconds:.0f} s: " + (
                made.why_no_mask()
                if made is not None
                else explain_missing_masks(
                    self, session.inputs.mask, masks.nearest_s, session.settings.node.mask_tolerance_s
                )
            )
        else:
            text = lost
        if text and now - self._silence_told_s > _WATCHDOG_REPEAT_S:
            self._silence_told_s = now
            self.get_logger().warning(text)
        return text
