"""``python -m sgdscope`` is the command line."""

from sgdscope.cli import main

main()
