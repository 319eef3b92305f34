"""Imports everything once and then forks a run of `polytalk generate` whenever it is asked to.

A run can then be killed a second after it began rather than ten. Started by `test_kills.py`; reads lines of JSON:
{"arguments": [...], "deadly": n or null}. Answers each with the run's process id, and with its status when it ended.
"""

import json
import os
import signal
import sys
import traceback

# everything that a run imports while it runs
import polytalk.cli.show
import polytalk.generation.generate
import polytalk.media.video
import polytalk.pipeline.multitalk
import polytalk.pipeline.resume.scene_inputs  # noqa: F401
from polytalk.cli.app import app


def die_at(call: int) -> None:
    """Kill this process just before or just after its n-th change of what is on the disk."""
    calls = 0

    def deadly(real):
        def act(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **options)
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return act

    for name in ("fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            if wanted["deadly"] is not None:
                die_at(wanted["deadly"])
            code = 1
            try:
                app(wanted["arguments"])
            except SystemExit as done:
                code = done.code if isinstance(done.code, int) else 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
