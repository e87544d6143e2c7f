"""What a user types: one module a command, each importing what it needs as it runs.

Nothing heavy is imported with them, so that ``--help`` answers at once.
"""
