"""The question: a grid of runs, their settings, and what to measure."""
