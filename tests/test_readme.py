"""The README's code blocks run, top to bottom, as one program."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_code_blocks_run():
    assert len(BLOCKS) >= 2
    namespace = {}
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), namespace)
    assert namespace["pipeline"].score(namespace["X_test"], namespace["y_test"]) > 0.9
    assert set(namespace["search"].best_params_) == {"depth", "threshold_mode"}


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_commands_exist(command):
    target = command.split()[1]
    makefile = (README.parent / "Makefile").read_text()
    assert command in README.read_text()
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
