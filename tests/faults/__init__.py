"""Faults on real processes: see __main__.py."""
