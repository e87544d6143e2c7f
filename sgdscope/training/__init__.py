"""Training networks by SGD, one at a time or several in step."""
