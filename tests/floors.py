"""Print constraints with the run-time dependencies at the lower bounds of pyproject.toml."""

import sys
import tomllib
from pathlib import Path


def floors(pyproject: str, constraints: str) -> list[str]:
    """The pins of ``constraints``, those of run-time dependencies replaced by their floors."""
    required = tomllib.loads(pyproject)["project"]["dependencies"]
    pins = dict(
        line.split("==") for line in constraints.splitlines() if line and not line.startswith("#")
    )
    pins.update(requirement.split(">=") for requirement in required)
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


if __name__ == "__main__":
    pyproject, constraints = (Path(name).read_text() for name in sys.argv[1:])
    sys.stdout.write("\n".join(floors(pyproject, constraints)) + "\n")
