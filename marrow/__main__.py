"""`python -m marrow` is the `marrow` command."""

from marrow.cli import main

if __name__ == "__main__":
    main()
