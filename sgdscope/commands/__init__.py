"""The commands, one module each, which import what they need when they run.

Importing them loads nothing heavy, so that ``--help`` answers at once.
"""
