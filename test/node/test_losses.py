"""Images that were sent and did not come are noticed, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from attnchain_ros.node.losses import SETTLING_S, SPAN_S, Loss, LossWatch, explain_loss

PERIOD_S = 1 / 30


def watch(images: int | None = 1, masks: int | None = 1, infos: int | None = 1, shift_ns: int = 0) -> LossWatch:
    """Eight seconds of a camera of which every ``images``-th image comes, and so on; None = none."""
    found = LossWatch("image", ("camera_info", "mask"))
    for number in range(240):
        now, stamp = number * PERIOD_S, 10**9 + number * 33_333_333
        for topic, every in (("camera_info", infos), ("mask", masks), ("image", images)):
            if every is not None and number % every == 0:
                found.hear(topic, stamp + (shift_ns if topic == "image" else 0), now)
    return found


NOW_S = 240 * PERIOD_S


def test_images_that_all_come_are_no_loss() -> None:
    assert watch().loss(NOW_S) is None


@pytest.mark.parametrize("images", [2, 5, 14])
def test_lost_images_are_counted_by_what_comes_beside_them(images: int) -> None:
    loss = watch(images=images).loss(NOW_S)
    assert loss is not None and loss.witness == "camera_info"
    assert loss.sent == pytest.approx((NOW_S - SETTLING_S) / PERIOD_S, abs=2)
    assert loss.lost / loss.sent == pytest.approx(1 - 1 / images, abs=0.02)


def test_no_image_at_all_is_a_loss_too() -> None:
    loss = watch(images=None).loss(NOW_S)
    assert loss is not None and loss.lost == loss.sent > 200


def test_masks_tell_where_there_is_no_camera_info() -> None:
    loss = watch(images=3, infos=None).loss(NOW_S)
    assert loss is not None and loss.witness == "mask"


def test_fewer_masks_than_images_are_no_loss() -> None:
    assert watch(masks=7, infos=None).loss(NOW_S) is None


def test_stamps_of_another_kind_tell_nothing() -> None:
    assert watch(images=3, shift_ns=5).loss(NOW_S) is None


def test_one_image_in_ten_may_be_late_or_missing() -> None:
    found = LossWatch("image", ("camera_info",))
    for number in range(240):
        found.hear("camera_info", 1 + number, number * PERIOD_S)
        if number % 10:
            found.hear("image", 1 + number, number * PERIOD_S)
    assert found.loss(NOW_S) is None


def test_the_newest_second_and_old_times_do_not_count() -> None:
    found = LossWatch("image", ("camera_info",))
    for number in range(30):  # images that are still on their way
        found.hear("camera_info", 1 + number, NOW_S - 0.5)
    assert found.loss(NOW_S) is None
    lost = watch(images=None)
    assert lost.loss(NOW_S + SPAN_S) is None
    lost = watch(images=None)
    lost.clear()
    assert lost.loss(NOW_S) is None


def test_a_latched_camera_info_without_stamp_is_no_witness() -> None:
    found = LossWatch("image", ("camera_info",))
    for number in range(240):
        found.hear("camera_info", 0, number * PERIOD_S)
        found.hear("depth", 1 + number, number * PERIOD_S)
    assert found.loss(NOW_S) is None


def test_the_sentence_names_what_helps() -> None:
    loss = Loss(300, 280, "camera_info")
    text = explain_loss(loss, "/camera/image_raw", reliable=False, compressed=False)
    assert "280 of 300 images on /camera/image_raw were lost on the way" in text
    for remedy in ("publish reliable", "image_transport to compressed", "net.core.rmem_max", "config/fastdds.xml"):
        assert remedy in text
    text = explain_loss(loss, "/camera/image_raw", reliable=True, compressed=True)
    assert "publish reliable" not in text and "image_transport" not in text
