"""What is said of topics: found, under another name, of another type, compressed, or not there."""

from __future__ import annotations

from attnchain_ros.doctor.findings import Finding, State
from attnchain_ros.doctor.topics import Topic, Wanted, judge_topics, list_topics, read_topics

IMAGE, COMPRESSED, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"


def topic(name: str, kind: str, publishers: int = 1) -> Topic:
    return Topic(name, (kind,), ("best_effort, volatile",) if publishers else (), publishers, 1)


def judged(topics: list[Topic], **wanted: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in judge_topics(topics, Wanted(**wanted))}


def test_everything_under_its_own_name() -> None:
    found = judged([topic("/image", IMAGE), topic("/mask", IMAGE), topic("/camera_info", INFO)])
    assert list(found) == ["image", "mask", "camera_info"], "depth is not missed where there is none"
    assert {finding.state for finding in found.values()} == {State.OK}
    assert "best_effort, volatile" in found["image"].text


def test_topics_with_other_names_are_offered() -> None:
    others = [topic("/cam/image_raw", IMAGE), topic("/cam/depth", IMAGE), topic("/segment/out", IMAGE)]
    found = judged([*others, topic("/cam/camera_info", INFO)])
    assert {finding.state for finding in found.values()} == {State.WARN}
    assert found["image"].advice == "remap one: -r image:=/cam/image_raw"
    assert found["mask"].advice == "remap one: -r mask:=/segment/out"
    assert found["camera_info"].advice == "remap one: -r camera_info:=/cam/camera_info"
    assert found["depth"].advice == "remap one: -r depth:=/cam/depth"


def test_a_topic_that_was_named_must_be_there() -> None:
    there = [topic("/cam/image_raw", IMAGE), topic("/cam/heard", IMAGE, publishers=0)]
    assert judged(there, image="/cam/image_raw")["image"].state is State.OK
    assert judged(there, image="/cam/other")["image"].state is State.FAIL
    assert judged(there, image="/cam/heard")["image"].state is State.FAIL, "a subscriber alone sends nothing"
    assert judged(there, depth="/cam/depth")["depth"].state is State.FAIL


def test_another_type_and_a_compressed_twin() -> None:
    wrong = judged([topic("/image", COMPRESSED)], image="/image")["image"]
    assert wrong.state is State.FAIL and COMPRESSED in wrong.text
    twin = judged([topic("/image/compressed", COMPRESSED)])["image"]
    assert twin.state is State.WARN and twin.advice == "set the parameter image_transport to compressed"


def test_the_graph_in_words() -> None:
    rows = [
        {"name": name, "types": [IMAGE], "offers": ["reliable, volatile"], "publishers": 1, "subscribers": 0}
        for name in ["/rosout", *(f"/t{number}" for number in range(40))]
    ]
    topics = read_topics(rows)
    assert len(topics) == 40
    found = list_topics(topics, ["/camera"], "7", 2.0)
    assert found.state is State.OK and found.text == "1 node (/camera), 40 topics in domain 7"
    assert len(found.details) == 31 and found.details[-1] == "and 10 more"
    assert found.details[0] == f"/t0 ({IMAGE}; reliable, volatile; 1 out, 0 in)"
    alone = list_topics([], [], "7", 2.0)
    assert alone.state is State.WARN and "domain 7 within 2 s" in alone.text
