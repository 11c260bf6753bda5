"""`python -m pynori` is the console script `pynori`."""

from pynori.cli.main import main

if __name__ == "__main__":
    main()
