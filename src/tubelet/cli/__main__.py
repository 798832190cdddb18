"""`python -m tubelet.cli`."""

from tubelet.cli import main

main()
