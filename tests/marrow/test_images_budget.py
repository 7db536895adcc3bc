"""The budget of pixels in flight: waits, gives up what was kept, never overruns."""

import threading

import numpy as np
import pytest

from marrow.images.boundary import TooLarge
from marrow.images.budget import Budget


def test_counts_what_is_reserved_and_returns_it():
    budget = Budget(100)
    with budget.reserve(60):
        assert budget.used_bytes == 60
        with budget.reserve(40):
            assert budget.used_bytes == 100
    assert budget.used_bytes == 0


def test_returns_the_room_after_an_error():
    budget = Budget(100)
    with pytest.raises(RuntimeError), budget.reserve(60):
        raise RuntimeError
    assert budget.used_bytes == 0


def test_refuses_at_once_what_can_never_fit():
    with pytest.raises(TooLarge, match="MB"), Budget(100).reserve(101):
        pass


def test_waits_until_there_is_room():
    budget = Budget(100)
    got_room = threading.Event()

    def decode():
        with budget.reserve(50):
            got_room.set()

    with budget.reserve(60):
        thread = threading.Thread(target=decode)
        thread.start()
        assert not got_room.wait(0.05)
    assert got_room.wait(10)
    thread.join(10)


def test_gives_up_waiting_after_its_time():
    budget = Budget(100)
    with (
        budget.reserve(60),
        pytest.raises(MemoryError, match="no room"),
        budget.reserve(50, timeout_s=0.01),
    ):
        pass


def test_many_threads_never_overrun_it():
    budget, most, lock = Budget(100), 0, threading.Lock()

    def decode(seed):
        nonlocal most
        for nbytes in np.random.default_rng(seed).integers(1, 100, 50):
            with budget.reserve(int(nbytes)), lock:
                most = max(most, budget.used_bytes)

    threads = [threading.Thread(target=decode, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 0 < most <= 100
    assert budget.used_bytes == 0


def test_kept_pixels_give_way_least_recently_used_first():
    budget = Budget(100)
    for name in "ab":
        budget.keep(name, np.zeros(40, np.uint8))
    assert budget.kept("a") is not None  # now b is the older one
    with budget.reserve(50):
        assert budget.kept("b") is None
        assert budget.kept("a") is not None
    budget.drop("a")
    assert budget.used_bytes == 0


def test_keeps_nothing_that_has_no_room():
    budget = Budget(100)
    with budget.reserve(90):
        budget.keep("a", np.zeros(20, np.uint8))
        assert budget.kept("a") is None
