"""Property tests try the same examples every time and have no clock, so that nothing fails by chance on a busy machine.

`pytest --hypothesis-profile=default` looks for new examples.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
