"""`python -m tests.deploy build`: make what these tests need, outside the checkout."""

import argparse
import sys
import time

from tests.deploy.build.recipe import CACHE, Recipes
from tests.guest.cache import say
from tests.guest.errors import BuildError


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy", description=__doc__)
    parser.add_argument("verb", choices=["build"], help="make what is missing or damaged")
    parser.parse_args()
    begin = time.monotonic()
    recipes = Recipes()
    try:
        recipes.build()
    except BuildError as error:
        say(str(error), CACHE)
        return 1
    say(f"all there, in {recipes.cache.root} ({time.monotonic() - begin:.1f} s)", CACHE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
