"""Run the command line as a module: python -m layton.cli, accelerate launch -m layton.cli …."""

from layton.cli import main

main()
