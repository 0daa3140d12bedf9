"""Doubles that hold state; no recorded expectations."""
