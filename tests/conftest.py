from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The laws are tried on 300 examples here; `HYPOTHESIS_PROFILE=thorough pytest tests/test_laws.py` draws 1,000.
_QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
settings.register_profile("ci", max_examples=300, **_QUIET)
settings.register_profile("thorough", max_examples=1000, **{**_QUIET, "derandomize": False})
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
