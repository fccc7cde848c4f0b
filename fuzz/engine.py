"""How is a target fed with mutated bytes?  One process of libFuzzer, through atheris.

python -m fuzz.engine TARGET [libFuzzer's arguments]
"""

from __future__ import annotations

import importlib
import sys

import atheris

from fuzz import instrumented
from fuzz.run import COMPILED


def main() -> None:
    name = sys.argv.pop(1)
    sys.argv[0] = f"{sys.executable} -m fuzz.engine {name}"  # what libFuzzer starts again when it merges
    if name in COMPILED:  # the branches of the compiled path guide the mutations; Python's would only slow them down
        instrumented.load()
        target = importlib.import_module(f"fuzz.{name}")
    else:
        # What is imported here is instrumented: the code whose branches guide the mutations.
        with atheris.instrument_imports(include=["sip", "dispatcher", "fuzz"]):
            target = importlib.import_module(f"fuzz.{name}")
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
