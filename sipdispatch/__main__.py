"""How does `python -m sipdispatch` start?"""

import sys

from sipdispatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
