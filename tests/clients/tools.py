"""Programs that a test needs and a machine may lack."""

import shutil

import pytest


def require_tool(name: str) -> str:
    """Its path; skips the test where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
