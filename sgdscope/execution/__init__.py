"""What runs a study, and where."""
