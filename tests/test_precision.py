"""bfloat16 is only asked of processors that survive it."""

import os
import signal

import pytest
import torch

from sgdscope.errors import RequestError
from sgdscope.training import precision

CPU = torch.device("cpu")


@pytest.fixture
def amx(monkeypatch):
    """A machine that announces AMX; returns what each try of its instructions comes to."""
    outcomes = []
    capabilities = {"amx_bf16": True, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(precision, "_survives", lambda attempt: outcomes.pop(0))
    monkeypatch.setattr(precision, "bfloat16_works", precision.bfloat16_works.__wrapped__)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")  # so that what a test leaves there is undone
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    return outcomes


def test_a_child_tells_whether_an_attempt_is_survived():
    assert precision._survives(lambda: None)
    assert not precision._survives(lambda: os.kill(os.getpid(), signal.SIGILL))
    assert not precision._survives(lambda: 1 / 0)


def test_what_is_said_to_work_does():
    if precision.bfloat16_works():
        precision.require_bfloat16(CPU)
        square = torch.eye(3, dtype=torch.bfloat16)
        assert torch.equal(square @ square, square)
    else:
        assert not precision._survives(precision._multiply)


def test_amx_that_works_is_left_alone(amx):
    amx[:] = [True]
    assert precision.bfloat16_works()
    assert "ONEDNN_MAX_CPU_ISA" not in os.environ


def test_amx_that_is_refused_is_gone_without(amx):
    amx[:] = [False, True]
    assert precision.bfloat16_works()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == precision.WITHOUT_AMX


def test_where_nothing_helps_bfloat16_is_refused_in_words(amx):
    amx[:] = [False, False, False, False]
    assert not precision.bfloat16_works()
    with pytest.raises(RequestError, match="announces AMX"):
        precision.require_bfloat16(CPU)
    precision.require_bfloat16(torch.device("cuda"))
