"""What hashing passwords promises: cost, bounds, and nothing told by the time it takes."""

from __future__ import annotations

import os
import secrets
import sys
import threading

import pytest

from adapters.crypto.argon2 import NICENESS, Argon2PasswordHasher
from adapters.crypto.common_passwords import LIST, read_common_passwords
from adapters.runtime.system import SystemEntropy
from domain.identity.users import PASSWORD_CHARACTERS_MIN, uniqueness_key
from ports.runtime import Overloaded, Runtime
from tests.conformance.runtimes import Driver

TODAY = "$argon2id$v=19$m=19456,t=2,p=1$"


def cheap(runtime: Runtime, **bounds: int) -> Argon2PasswordHasher:
    return Argon2PasswordHasher(
        runtime=runtime, entropy=SystemEntropy(), memory_kib=8, passes=1, lanes=1, **bounds
    )


def test_a_password_is_hashed_at_todays_cost_with_a_salt_of_its_own(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        hasher = Argon2PasswordHasher(runtime=runtime, entropy=SystemEntropy())
        one, other = await hasher.hash(b"correct horse"), await hasher.hash(b"correct horse")
        assert one.startswith(TODAY)
        assert one != other
        assert await hasher.verify(b"correct horse", one)
        assert not await hasher.verify(b"battery staple", one)
        assert not hasher.needs_rehash(one)

    run_real(body)


def test_nobodys_password_is_checked_at_the_same_cost(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        hasher = cheap(runtime)
        real = await hasher.hash(b"x")
        nobody = hasher._of_nobody
        assert nobody.rsplit("$", 2)[0] == real.rsplit("$", 2)[0]
        assert len(nobody) == len(real)
        assert not await hasher.verify(b"x", None)
        assert not await hasher.verify(b"", None)

    run(body)


def test_a_hash_of_another_cost_verifies_and_asks_to_be_made_anew(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        old = await cheap(runtime).hash(b"x")
        today = Argon2PasswordHasher(runtime=runtime, entropy=SystemEntropy())
        assert today.needs_rehash(old)
        assert await today.verify(b"x", old)

    run(body)


def test_a_hash_that_is_none_matches_nothing(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        assert not await cheap(runtime).verify(b"x", "not a hash")

    run(body)


class Gate(Argon2PasswordHasher):
    """Holds every derivation until it is opened, and counts how many are held at once."""

    def __init__(self, runtime: Runtime, *, running_max: int, waiting_max: int) -> None:
        super().__init__(
            runtime=runtime,
            entropy=SystemEntropy(),
            memory_kib=8,
            passes=1,
            running_max=running_max,
            waiting_max=waiting_max,
        )
        self.opened = threading.Event()
        self.held = threading.Semaphore(0)
        self.at_once = 0
        self.at_once_max = 0
        self._counting = threading.Lock()

    def _derive(self, password: bytes, salt: bytes) -> str:
        with self._counting:
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
        self.held.release()
        assert self.opened.wait(timeout=10)
        with self._counting:
            self.at_once -= 1
        return super()._derive(password, salt)


def test_so_many_hash_at_once_so_many_wait_and_one_more_is_refused(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        gate = Gate(runtime, running_max=2, waiting_max=3)
        tasks = [runtime.start(lambda: gate.hash(b"x"), name=f"hash-{at}") for at in range(5)]
        for _ in range(2):
            assert await runtime.run_in_thread(gate.held.acquire, True, 10)
        while len(gate._turnstile._waiting) < 3:
            await runtime.sleep(0)
        with pytest.raises(Overloaded):
            await gate.hash(b"one more")
        gate.opened.set()
        assert len({await task.wait() for task in tasks}) == 5
        assert gate.at_once_max == 2
        assert (await gate.hash(b"after the rush")).startswith("$argon2id$")

    run_real(body)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
def test_hashing_gives_way_to_all_else_and_no_other_thread_does(run_real: Driver) -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    class Seen(Argon2PasswordHasher):
        at = 0

        def _derive(self, password: bytes, salt: bytes) -> str:
            Seen.at = priority()
            return super()._derive(password, salt)

    async def body(runtime: Runtime) -> None:
        usual = priority()
        hasher = Seen(runtime=runtime, entropy=SystemEntropy(), memory_kib=8, passes=1)
        await hasher.hash(b"x")
        assert Seen.at == min(usual + NICENESS, 19)
        assert await runtime.run_in_thread(priority) == usual

    run_real(body)


def test_one_who_gives_up_waiting_leaves_the_place_to_the_next(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        gate = Gate(runtime, running_max=1, waiting_max=2)
        first = runtime.start(lambda: gate.hash(b"first"), name="first")
        assert await runtime.run_in_thread(gate.held.acquire, True, 10)
        quitter = runtime.start(lambda: gate.hash(b"quitter"), name="quitter")
        while len(gate._turnstile._waiting) < 1:
            await runtime.sleep(0)
        last = runtime.start(lambda: gate.hash(b"last"), name="last")
        while len(gate._turnstile._waiting) < 2:
            await runtime.sleep(0)
        quitter.cancel()
        while len(gate._turnstile._waiting) > 1:
            await runtime.sleep(0)
        gate.opened.set()
        assert await gate.verify(b"first", await first.wait())
        assert await gate.verify(b"last", await last.wait())
        assert gate._turnstile._inside == 0

    run_real(body)


def test_a_password_never_shows_in_its_hash(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        password = secrets.token_hex(16)
        assert password not in await cheap(runtime).hash(password.encode())

    run(body)


@pytest.mark.parametrize(
    "password", ["password", "12345678", "qwertyuiop", "p@ssw0rd", "iloveyou1", "trustno1"]
)
def test_what_everybody_tries_first_is_on_the_list(password: str) -> None:
    assert password in read_common_passwords()


def test_every_line_of_the_list_is_a_password_as_it_is_looked_up_or_tells_of_the_list() -> None:
    common = read_common_passwords()
    lines = LIST.read_text(encoding="ascii").splitlines()
    passwords = [line for line in lines if not line.startswith("#")]
    assert len(passwords) == len(set(passwords)) > 10_000
    for password in passwords:
        assert len(password) >= PASSWORD_CHARACTERS_MIN
        assert uniqueness_key(password) == password == password.strip()
        assert password in common
    assert not any(line in common for line in lines if line.startswith("#"))
    assert "correct horse battery" not in common
