"""Loggers: the run folder holds every value, trackers mirror it from behind and can never hurt a run."""
