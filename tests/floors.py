"""Print the lower bounds of pyproject.toml as a constraints file: ``name==floor`` a line."""

import re
import sys
import tomllib
from pathlib import Path


def floors(pyproject: str) -> list[str]:
    """Lower bounds of the run-time dependencies, pinned."""
    project = tomllib.loads(pyproject)["project"]
    return [re.sub(r">=", "==", requirement) for requirement in project["dependencies"]]


if __name__ == "__main__":
    sys.stdout.write("\n".join(floors(Path(sys.argv[1]).read_text())) + "\n")
