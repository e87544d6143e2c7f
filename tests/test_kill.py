"""A study that is killed again and again ends with the bits of one that never was.

``SGDSCOPE_KILLS=40 pytest -s tests/test_kill.py`` kills at so many moments.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from test_running import contents

KILLS = int(os.environ.get("SGDSCOPE_KILLS", "2"))

STUDY = """
name = "tiny"
model = "stdcnn"
data = "digits"
batch_size = [16, 32]
seed = [0, 1]
epochs = 6
train_size = 640
[schedule.fixed]
learning_rate = 0.05
momentum = 0.9
[measure.test_accuracy]
every = 2
[measure.pgd_accuracy]
eps = [0.1]
steps = 5
every = 3
"""
SCRIPT = """
import sgdscope, sys
if __name__ == "__main__":
    study = sgdscope.Study.load("tiny.toml")
    sgdscope.run(study, out=sys.argv[1], workers=2, checkpoint_every=0)
"""


def start(home: Path, out: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "script.py", out], cwd=home, start_new_session=True)


def finish(home: Path, out: str) -> None:
    assert start(home, out).wait(timeout=600) == 0
    assert not [*(home / out).rglob("checkpoint")]


def workers(driver: int) -> list[int]:
    """The processes of a driver that carry out runs."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # gone while looked at
        for child in Path(f"/proc/{driver}/task/{driver}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def alive(process: int) -> bool:
    """Whether a process still runs; one that ended and was not asked about does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    return False


def kill(process: subprocess.Popen, target: str, moments: random.Random) -> bool:
    """Kill -9: all, as when the machine stops; the driver, whom workers follow; or a worker.

    A driver whose worker dies goes on without it. False where no worker was there.
    """
    mortal = workers(process.pid)
    if target == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif target == "driver":
        process.kill()
    elif mortal:
        with suppress(ProcessLookupError):
            os.kill(moments.choice(mortal), signal.SIGKILL)
    process.wait(timeout=600)
    if target == "worker":
        assert process.returncode == 0
    deadline = time.monotonic() + 30
    while any(map(alive, mortal)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in mortal if alive(child)]
    return bool(mortal)


def test_killed_studies_end_with_the_same_bits(tmp_path):
    (tmp_path / "tiny.toml").write_text(STUDY)
    (tmp_path / "script.py").write_text(SCRIPT)
    begun = time.monotonic()
    finish(tmp_path, "whole")
    usual = time.monotonic() - begun
    whole = contents(tmp_path / "whole")
    moments = random.Random(0)
    tried, studies = 0, 0
    while tried < KILLS:
        out = f"killed-{studies}"
        for target in [*moments.sample(["all", "driver"], 2), "worker"]:  # who then finishes it
            process = start(tmp_path, out)
            try:
                process.wait(timeout=moments.uniform(0.05, 1.0) * usual)
            except subprocess.TimeoutExpired:
                tried += kill(process, target, moments)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        finish(tmp_path, out)
        assert contents(tmp_path / out) == whole
        studies += 1
    print(f"{tried} moments tried, {studies} studies completed, 0 differences")
