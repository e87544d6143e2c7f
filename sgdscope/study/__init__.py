"""The question: a grid of runs, what each is made of, and what to measure."""
