from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from composition.wiring.platform import RuntimeName
from tests.composition.hosting.serving import ROOT, WAIT_S_MAX

BEATS = """
    import asyncio, sys, time
    from composition.hosting.heartbeat import BEAT_S
    from composition.hosting.process import run
    from composition.wiring.platform import RuntimeName

    beats = 0

    def beat():
        global beats
        beats += 1

    async def serve(stop):
        global beats
        if sys.argv[1] == "trio":
            import trio
            sleep = trio.sleep
        else:
            sleep = asyncio.sleep
        await sleep(0)
        beats = 0
        time.sleep(BEAT_S * 3)
        blocked, beats = beats, 0
        for _ in range(10_000):
            if beats >= 3:
                break
            await sleep(0.01)
        print(blocked, beats)

    async def drain():
        pass

    run(RuntimeName(sys.argv[1]), serve, drain=drain, grace_s=1.0, beat=beat)
"""


@pytest.mark.parametrize("runtime", [runtime.value for runtime in RuntimeName])
def test_a_process_beats_while_its_event_loop_turns_and_only_then(runtime: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BEATS), runtime],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0 3\n", "")
