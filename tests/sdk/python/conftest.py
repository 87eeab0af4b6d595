"""The same fixtures as the system tests."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../system"))

from conftest import *  # noqa: E402,F401,F403
