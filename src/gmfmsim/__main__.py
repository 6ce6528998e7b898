"""python -m gmfmsim: the command line."""

from gmfmsim.cli import main

main()
