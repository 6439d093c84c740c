"""The side of a worker that hands its commands to the one that holds the book."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from adapters.worker_link.frames import PAYLOAD_BYTES_MAX, BadFrame, FrameReader, Kind, LinkFrame, encoded
from adapters.worker_link.host import Stream
from adapters.worker_link.messages import BadMessage, error_of, outcomes_in, packed, request
from domain.ledger.commands import Submission
from domain.ledger.outcomes import CommandOutcome, Outcomes
from ports.errors import DependencyUnavailable, OutcomeUnknown
from ports.ledger.worker_link import Declined, Link, LinkUnusable
from ports.runtime import DeadlineExceeded, Event, Runtime

ANSWER_S_MAX: Final = 15.0
"""How long an answer is waited for: longer than the holder waits for the journal."""
LOOK_INTERVAL_S: Final = 0.5
"""How often a link looks for overdue answers, while one is waited for."""
QUIET_LOOKS_MAX: Final = 5
"""Looks in a row that found nothing received, though a ping was sent: then the holder is silent. Looks, not
seconds: who was stopped oneself looks once afterwards, and hears what came meanwhile before the next."""
GREETING_S_MAX: Final = 1.0
"""How long a new connection waits for the holder's first word."""
REQUEST_BYTES_MAX: Final = 1024 * 1024
"""Of the submissions that go together; a larger one goes alone."""
REQUEST_SUBMISSIONS_MAX: Final = 4_096
WAITING_SUBMISSIONS_MAX: Final = 50_000
REQUESTS_UNDER_WAY_MAX: Final = 64
"""More of them gather until one is answered."""

_log = logging.getLogger("credit.worker_link")


class _Request:
    """What went in one frame, until its answer is complete."""

    __slots__ = ("count", "error", "outcomes", "sent_s", "settled")

    def __init__(self, count: int, settled: Event, sent_s: float) -> None:
        self.count = count
        self.settled = settled
        self.sent_s = sent_s
        self.outcomes: list[tuple[CommandOutcome, ...]] = []
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        self.error = error
        self.settled.set()


class _Ticket(NamedTuple):
    """Where the answer of one submission will be."""

    request: _Request
    place: int


async def _outcomes_at(ticket: _Ticket) -> tuple[CommandOutcome, ...]:
    sent = ticket.request
    await sent.settled.wait()
    if sent.error is not None:
        raise sent.error.with_traceback(None)
    return sent.outcomes[ticket.place]


class StreamLink:
    def __init__(self, runtime: Runtime, stream: Stream, *, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._runtime = runtime
        self._stream = stream
        self._requests: dict[int, _Request] = {}
        self._number = 0
        self._over = runtime.event()
        self._closing = False
        self._silent = True
        """Until it is heard of."""
        self._overdue = False
        self._quiet_looks = 0
        self._heard = runtime.event()
        self._sending = runtime.lock()
        self._is_sending = False
        self._watched = False
        self._fewer: Event | None = None
        self._gathered = runtime.batcher(
            self._send,
            items_max=REQUEST_SUBMISSIONS_MAX,
            waiting_max=WAITING_SUBMISSIONS_MAX,
            weigh=len,
            weight_max=REQUEST_BYTES_MAX,
        )
        runtime.start(self._receive, name="hear of handed commands")

    async def greet(self) -> None:
        """Asks whether the holder lives; a link to one that does not say so in time is silent."""
        with suppress(DeadlineExceeded, OSError):
            async with self._runtime.deadline(GREETING_S_MAX):
                await self._ping()
                await self._heard.wait()

    @property
    def is_silent(self) -> bool:
        return self._silent or self._overdue

    async def submit(self, submissions: Sequence[Submission]) -> Outcomes:
        elements = [packed(submission) for submission in submissions]
        if any(len(element) + 2 > PAYLOAD_BYTES_MAX for element in elements):
            raise LinkUnusable("too large")
        if len(elements) == 1:
            return (await _outcomes_at(await self._gathered.submit(elements[0])),)
        return [await _outcomes_at(ticket) for ticket in await self._gathered.submit_many(elements)]

    async def ended(self) -> None:
        await self._over.wait()

    def close(self) -> None:
        self._closing = True
        self._stream.end()

    async def _send(self, elements: Sequence[bytes]) -> Sequence[_Ticket]:
        """One request; returns when it is sent, so that the next can follow before it is answered."""
        while len(self._requests) >= REQUESTS_UNDER_WAY_MAX:
            await self._one_fewer()
        if self._closing or self._over.is_set():
            raise Declined("the worker that held the book lets it go")
        if self._silent:
            raise LinkUnusable("the worker that holds the book does not answer")
        self._number += 1
        sent = _Request(len(elements), self._runtime.event(), self._runtime.monotonic())
        self._requests[self._number] = sent
        self._watch()
        try:
            await self._put(request(self._number, elements))
        except OSError:
            # The receiving side sees the end as well, and says what it means for each request.
            self._stream.end()
        return [_Ticket(sent, place) for place in range(len(elements))]

    async def _put(self, data: bytes) -> None:
        async with self._sending:
            if self._over.is_set():
                return
            self._is_sending = True
            try:
                await self._stream.send(data)
            finally:
                self._is_sending = False
                if self._over.is_set():
                    self._stream.close()

    async def _ping(self) -> None:
        await self._put(encoded(LinkFrame(Kind.PING, 0, b"")))

    async def _receive(self) -> None:
        reader = FrameReader()
        try:
            while data := await self._stream.receive():
                self._hear()
                for frame in reader.feed(data):
                    self._take(frame)
        except (OSError, BadFrame, BadMessage) as error:
            _log.warning("the connection to the worker that holds a book broke: %s", error)
        finally:
            self._end()

    def _hear(self) -> None:
        self._silent = False
        self._quiet_looks = 0
        self._heard.set()

    def _take(self, frame: LinkFrame) -> None:
        match frame.kind:
            case Kind.CLOSING:
                self._closing = True
                for number in [each for each in self._requests if each > frame.number]:
                    self._settle(number, Declined("the worker that held the book lets it go"))
            case Kind.PART | Kind.ANSWER:
                self._take_outcomes(frame)
            case Kind.FAILURE:
                self._overdue = False
                self._settle(frame.number, error_of(frame))
            case Kind.PONG:
                pass
            case Kind.REQUEST | Kind.PING:
                raise BadFrame(f"a {frame.kind.name} from the worker that holds the book")

    def _take_outcomes(self, frame: LinkFrame) -> None:
        self._overdue = False
        sent = self._requests.get(frame.number)
        if sent is None:
            return  # It was given up.
        sent.outcomes += outcomes_in(frame)
        if frame.kind is Kind.ANSWER:
            if len(sent.outcomes) != sent.count:
                raise BadMessage(f"{len(sent.outcomes)} answers for {sent.count} submissions")
            self._settle(frame.number, None)

    def _settle(self, number: int, error: Exception | None) -> None:
        sent = self._requests.pop(number, None)
        if sent is None:
            return
        if error is None:
            sent.settled.set()
        else:
            sent.fail(error)
        if self._fewer is not None:
            self._fewer.set()
            self._fewer = None

    def _end(self) -> None:
        self._over.set()
        self._heard.set()
        self._stream.end()
        for number in list(self._requests):
            self._settle(number, OutcomeUnknown("ledger", "the worker that held the book is gone"))
        if not self._is_sending:
            self._stream.close()
        self._on_end()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._quiet_looks = 0
            self._runtime.start(self._look_for_overdue, name="watch for overdue answers")

    async def _look_for_overdue(self) -> None:
        try:
            while self._requests:
                await self._runtime.sleep(LOOK_INTERVAL_S)
                self._quiet_looks += 1
                if self._quiet_looks > QUIET_LOOKS_MAX:
                    self._give_up()
                elif self._quiet_looks == 1:
                    self._runtime.start(self._ping_quietly, name="ping the worker that holds a book")
                oldest_s = self._runtime.monotonic() - ANSWER_S_MAX
                for number in [number for number, each in self._requests.items() if each.sent_s < oldest_s]:
                    self._overdue = True
                    error = DependencyUnavailable("ledger", "the worker that holds the book did not answer")
                    self._settle(number, error)
        finally:
            self._watched = False

    async def _ping_quietly(self) -> None:
        # A link that ended says so to its receiver.
        with suppress(OSError):
            await self._ping()

    def _give_up(self) -> None:
        """The holder is stopped or blocked. What it took it may post yet, whenever it goes on."""
        self._silent = True
        _log.warning("the worker that holds a book does not answer: its book is written without it meanwhile")
        for number in list(self._requests):
            self._settle(number, OutcomeUnknown("ledger", "the worker that holds the book does not answer"))
        if self._is_sending:
            # It reads nothing either, so a sender would wait until it is gone.
            self._stream.end()

    async def _one_fewer(self) -> None:
        if self._fewer is None:
            self._fewer = self._runtime.event()
        await self._fewer.wait()


def _fits(link: StreamLink) -> Link:
    """mypy holds the adapter to its port here."""
    return link
