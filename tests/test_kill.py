"""A study that is killed again and again ends with the bits of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from test_running import contents

KILLS = int(os.environ.get("SGDSCOPE_KILLS", "4"))

STUDY = """
name = "tiny"
model = "stdcnn"
data = "digits"
batch_size = [16, 32]
seed = [0, 1]
epochs = 12
train_size = 640
[schedule.fixed]
learning_rate = 0.05
momentum = 0.9
[measure.test_accuracy]
every = 2
[measure.pgd_accuracy]
eps = [0.1]
steps = 5
every = 4
"""
SCRIPT = """
import sgdscope, sys
if __name__ == "__main__":
    study = sgdscope.Study.load("tiny.toml")
    sgdscope.run(study, out=sys.argv[1], workers=2, checkpoint_every=0)
"""


def start(home: Path, out: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "script.py", out], cwd=home, start_new_session=True)


def test_killed_studies_end_with_the_same_bits(tmp_path):
    (tmp_path / "tiny.toml").write_text(STUDY)
    (tmp_path / "script.py").write_text(SCRIPT)
    begun = time.monotonic()
    assert start(tmp_path, "whole").wait(timeout=300) == 0
    usual = time.monotonic() - begun
    moments = random.Random(0)
    for kill in range(KILLS):
        process = start(tmp_path, "killed")
        try:
            process.wait(timeout=moments.uniform(0.3, 0.8) * usual)
        except subprocess.TimeoutExpired:
            if kill % 2:
                process.kill()  # the driver alone: its workers must notice and leave the folder be
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert start(tmp_path, "killed").wait(timeout=300) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not [*(tmp_path / "killed").rglob("checkpoint")]
