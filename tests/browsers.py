"""Tests of pages in a browser, which not every machine has."""

import pytest
from chromium import CHROMIUM

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found: apt-get install chromium")
