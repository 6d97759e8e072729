"""Histories of calls that several clients made at once, and whether some order in time explains all of their answers.

A history is what the clients know: when each call began and ended and what it was told, or that it never was. The
checkers (`documents`, `locks`, `leases`) are plain functions of histories, the parts (`parts`) make them on a fleet.
"""
