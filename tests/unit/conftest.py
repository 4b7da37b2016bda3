"""What tests with hypothesis share."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: others may be using it. pytest-timeout ends what hangs.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")
