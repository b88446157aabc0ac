"""python -m layton_bench."""

from layton_bench.cli import main

main()
