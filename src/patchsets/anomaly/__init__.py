"""Anomaly detection: how images are scored, from which score on one is an anomaly, how well that works."""
