"""Programs that a test needs and a machine may lack."""

import shutil

import pytest


def require_tool(name: str) -> str:
    """Its path; skips the test where it is not installed."""
    path = shutil.which(name)
    if path is None:
        # Fails instead where FPL_REQUIRE_REDIS is set, as .ci/run does: tests/conftest.py.
        pytest.skip(f"{name} is not installed")
    return path
