"""What a manifest says of a run's cost."""

import resource
import sys
from types import SimpleNamespace

import pytest

from xl_influence.manifest import Stopwatch


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_peak_memory_is_in_gib_on_every_system(monkeypatch, platform, unit):
    """The system counts kilobytes on Linux and bytes on macOS."""
    usage = SimpleNamespace(ru_maxrss=3 * 2**30 // unit)
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    monkeypatch.setattr(sys, "platform", platform)
    assert Stopwatch().read()["peak_memory_gb"] == 3
