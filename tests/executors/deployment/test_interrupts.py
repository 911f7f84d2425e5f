"""Interrupts while Dask works: kept for the next wait, never lost, never seen by workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from caml_dask.executors.deployment import interrupts

READS_ITS_MASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def interrupt_this_process() -> None:
    """As Ctrl-C does. Any thread that does not block it may take it, so it need not have arrived on return."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)


def test_an_interrupt_waits_for_the_next_check():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.kept():
        interrupt_this_process()
        with pytest.raises(KeyboardInterrupt):
            interrupts.Ended().next(timeout_s=10)
    assert signal.getsignal(signal.SIGINT) is before
    interrupts.check()


def test_one_that_nobody_checked_for_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), interrupts.kept():
        interrupt_this_process()
    interrupts.check()


def test_a_second_interrupt_does_not_wait():
    with pytest.raises(KeyboardInterrupt), interrupts.kept():
        interrupt_this_process()
        interrupt_this_process()
        pytest.fail("the second interrupt was kept too")


def test_processes_started_in_between_are_spared_and_the_interrupt_is_not_lost():
    with interrupts.kept():
        with interrupts.workers_spared():
            child = subprocess.run([sys.executable, "-c", READS_ITS_MASK], capture_output=True, text=True, check=True)
            interrupt_this_process()
        assert child.stdout.strip() == "True"
        with pytest.raises(KeyboardInterrupt):
            interrupts.Ended().next(timeout_s=10)
    child = subprocess.run([sys.executable, "-c", READS_ITS_MASK], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"


def test_a_process_whose_other_threads_take_the_interrupt_is_no_different():
    """What Dask, numba and pyarrow start before the workers runs on, with nothing blocked."""
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        with interrupts.kept():
            with interrupts.workers_spared():
                interrupt_this_process()
            with pytest.raises(KeyboardInterrupt):
                interrupts.Ended().next(timeout_s=10)
    finally:
        ended.set()
        other.join()
