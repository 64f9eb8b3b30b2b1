"""Settings for all tests: hypothesis without deadlines, since shared machines stutter."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
