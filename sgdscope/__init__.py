"""sgdscope: what SGD's knobs do to a network."""
