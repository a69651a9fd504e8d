"""Print constraints with the dependencies at the lower bounds of pyproject.toml."""

import sys
import tomllib
from pathlib import Path

CHECKERS = {"hypothesis", "mypy", "pytest", "pytest-xdist", "ruff"}  # nobody's code runs with them


def floors(pyproject: str, constraints: str) -> list[str]:
    """The pins of ``constraints``, those of dependencies and extras replaced by their floors."""
    project = tomllib.loads(pyproject)["project"]
    required = sum(project["optional-dependencies"].values(), project["dependencies"])
    pins = dict(
        line.lower().split("==")
        for line in constraints.splitlines()
        if line and not line.startswith("#")
    )
    floors = dict(line.lower().split(">=") for line in required if ">=" in line)
    pins.update((name, floors[name]) for name in floors.keys() - CHECKERS)
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


if __name__ == "__main__":
    pyproject, constraints = (Path(name).read_text() for name in sys.argv[1:])
    sys.stdout.write("\n".join(floors(pyproject, constraints)) + "\n")
