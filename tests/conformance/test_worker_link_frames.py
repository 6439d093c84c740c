"""Frames survive any cut of their bytes; what is no frame is found before it is waited for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.worker_link.frames import (
    PAYLOAD_BYTES_MAX,
    VERSION,
    BadFrame,
    FrameReader,
    Kind,
    LinkFrame,
    encoded,
)

frames = st.builds(
    LinkFrame, st.sampled_from(Kind), st.integers(min_value=0, max_value=2**64 - 1), st.binary(max_size=50)
)


@given(st.lists(frames, max_size=8), st.data())
def test_frames_come_whole_and_in_order_however_their_bytes_are_cut(
    sent: list[LinkFrame], data: st.DataObject
) -> None:
    stream = b"".join(map(encoded, sent))
    cuts = sorted(data.draw(st.lists(st.integers(min_value=0, max_value=len(stream)), max_size=12)))
    reader = FrameReader()
    read = [
        frame
        for start, stop in pairwise([0, *cuts, len(stream)])
        for frame in reader.feed(stream[start:stop])
    ]
    assert read == sent


def test_a_payload_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(ValueError):
        encoded(LinkFrame(Kind.REQUEST, 1, bytes(PAYLOAD_BYTES_MAX + 1)))


def header(length: int, version: int, kind: int) -> bytes:
    return length.to_bytes(4, "big") + bytes([version, kind]) + bytes(8)


@pytest.mark.parametrize(
    "wrong",
    [
        header(PAYLOAD_BYTES_MAX + 1, VERSION, 1),
        header(2**32 - 1, VERSION, 1),
        header(0, VERSION + 1, 1),
        header(0, VERSION, 0),
        header(0, VERSION, 200),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_no_frame_of_this_version_is_refused_at_its_header(wrong: bytes) -> None:
    with pytest.raises(BadFrame):
        FrameReader().feed(wrong)
