"""Interrupts while Dask works: kept for the next wait, never lost, never seen by workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from caml_dask.run import interrupts

READS_ITS_MASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def test_an_interrupt_waits_for_the_next_check():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.kept():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.Ended().next()
    assert signal.getsignal(signal.SIGINT) is before
    interrupts.check()


def test_a_second_interrupt_does_not_wait():
    with pytest.raises(KeyboardInterrupt), interrupts.kept():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second interrupt was kept too")


def test_processes_started_in_between_are_spared_and_the_interrupt_is_put_off():
    with interrupts.kept():
        with interrupts.workers_spared():
            child = subprocess.run([sys.executable, "-c", READS_ITS_MASK], capture_output=True, text=True, check=True)
            os.kill(os.getpid(), signal.SIGINT)
            interrupts.check()
        assert child.stdout.strip() == "True"
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    child = subprocess.run([sys.executable, "-c", READS_ITS_MASK], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"
