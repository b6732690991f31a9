"""The SROS2 policy names exactly what the node publishes, reads and serves."""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree

from node.ros_harness import Client, NodeProcess

POLICY = Path(__file__).parents[2] / "config" / "sros2_policy.xml"
NAME = "/attnchain_node"
# Where the packages of their messages are installed.
OPTIONAL = {f"{NAME}/object_box", f"{NAME}/object_mesh"}
Rights = dict[str, set[str]]


def rights_in_policy(enclave: str, node: str) -> Rights:
    """Full names by kind and right, such as "topics publish"."""
    found: Rights = {}
    for group in ElementTree.parse(POLICY).iterfind(f".//enclave[@path='{enclave}']//profile[@ns='/']/*"):
        for right, word in group.attrib.items():
            assert word == "ALLOW"
            names = {entry.text or "" for entry in group}
            full = {name.replace("~", f"/{node}") if name[0] in "~/" else f"/{name}" for name in names}
            found.setdefault(f"{group.tag} {right}", set()).update(full)
    return found


def rights_in_graph(client: Client, name: str) -> Rights:
    """What a node has, under the names that it would have if it were called ``NAME``."""
    kinds = {
        "topics publish": client.node.get_publisher_names_and_types_by_node,
        "topics subscribe": client.node.get_subscriber_names_and_types_by_node,
        "services reply": client.node.get_service_names_and_types_by_node,
    }
    return {
        kind: {topic.replace(f"/{name}/", f"{NAME}/") for topic, _ in ask(name, "/")} - OPTIONAL
        for kind, ask in kinds.items()
    }


def test_the_policy_is_what_the_node_needs_and_no_more(client: Client, tmp_path: Path):
    allowed = rights_in_policy("/attnchain_node", NAME.lstrip("/"))
    assert allowed["topics publish"] >= OPTIONAL
    allowed["topics publish"] -= OPTIONAL
    needed: Rights = {}
    kinds = {
        "raw": ({"image_transport": "raw", "mask_transport": "raw"}, {"/image", "/mask", "/tf"}),
        "prompts": ({"foreground": "sam2", "fixed_frame": "odom"}, {f"{NAME}/prompt", f"{NAME}/prompt_box", "/tf"}),
        "compressed": ({"image_transport": "compressed", "mask_transport": "compressed"}, set()),
    }
    for kind, (options, awaited) in kinds.items():
        # A name of its own: one that was killed by a test before may still be in the graph.
        name = f"policy_{kind}"
        options = {**options, "use_sim_time": True}
        node = NodeProcess(tmp_path / f"{kind}.log", "-r", f"__node:={name}", parameters=options)
        try:
            client.wait_until(lambda node=node: "active: " in node.text(), "the node is active")
            client.wait_until(lambda name=name: name in client.node.get_node_names(), "the node is seen")
            end = time.monotonic() + 120.0
            while True:  # what a node has becomes known bit by bit
                seen = rights_in_graph(client, name)
                union = {right: needed.get(right, set()) | names for right, names in seen.items()}
                if union == allowed if kind == "compressed" else awaited <= seen["topics subscribe"]:
                    break
                assert time.monotonic() < end, {right: union[right] ^ allowed[right] for right in union}
                client.executor.spin_once(timeout_sec=0.1)
            needed = union
        finally:
            node.kill()
    assert needed == allowed


def test_others_may_only_reach_what_is_there_and_a_planner_sets_no_parameters():
    node = rights_in_policy("/attnchain_node", NAME.lstrip("/"))
    for name in ("planner", "operator"):
        rights = rights_in_policy(f"/{name}", name)
        assert rights["services request"] <= node["services reply"]
        assert {topic for topic in rights["topics subscribe"] if topic.startswith(NAME)} <= node["topics publish"]
        assert {topic for topic in rights["topics publish"] if topic.startswith(NAME)} <= node["topics subscribe"]
    planner = rights_in_policy("/planner", "planner")["services request"]
    assert not any(word in service for service in planner for word in ("parameters", "state", "enable"))
