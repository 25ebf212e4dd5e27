"""compile_commands.json of a real container, on the host."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devbox.builds import on_host
from devbox.container.inside.find import running_container
from devbox.container.up.up import UpRequest, up
from devbox.errors import BuildError, RefusedError
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.container.target import Target
    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

MAKE = """
set -eu
mkdir -p /build/release/gen /opt/toolkit/include /opt/toolkit/lib
ln -sfn release /build/current
ln -sfn /opt/toolkit /opt/current
echo '#define GENERATED 1' > /build/release/gen/generated.h
echo 'int toolkit();' > /opt/toolkit/include/toolkit.h
touch /opt/toolkit/include/not-a-header.so /opt/toolkit/include/dangling; ln -sf /nowhere /opt/toolkit/include/dangling
cat > /build/release/compile_commands.json
"""
SOURCE = "#include <vector>\n#include <toolkit.h>\n#include <generated.h>\nstd::vector<int> v{GENERATED, toolkit()};\n"


@pytest.fixture
def target(tmp_path: Path, engine: Engine, base_image: str) -> Iterator[Target]:
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    (tree / "a.cpp").write_text(SOURCE)
    contract = {"image": base_image, "userEnvProbe": "none", "workspaceFolder": "/workspaces/tree"}
    (tree / ".devcontainer.json").write_text(json.dumps(contract))
    made = up(UpRequest(path=tree), engine, Silent()).container
    include = "-Igen -isystem /opt/current/include"
    entries = [
        {"directory": "/build/release", "file": file, "command": f"c++ {include} -o a.o -c {file}"}
        for file in ("/workspaces/tree/a.cpp", "/build/release/gen/b.cpp")
    ]
    engine.run(["exec", "--interactive", made, "sh", "-c", MAKE], input_text=json.dumps(entries))
    yield running_container(engine, tree)
    engine.run(["rm", "--force", "--volumes", made])


def test_the_hosts_paths_and_what_only_the_container_has(target: Target, engine: Engine) -> None:
    folder, result = on_host.for_host(engine, target, Silent())
    assert folder == "/build/release"
    (entry,) = result.entries
    assert entry["file"] == str(target.workspace / "a.cpp")
    assert result.missing == (("/build/release/gen", 1), ("/opt/current/include", 1))
    assert result.left_out == ("/build/release/gen/b.cpp",)


def test_copied_headers_are_all_that_a_language_server_needs(target: Target, engine: Engine, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    _, result = on_host.for_host(engine, target, Silent(), headers=headers)
    assert result.missing == ()
    found = {path.relative_to(headers).as_posix() for path in (headers / "opt").rglob("*")}
    assert found == {"opt/current", "opt/current/include", "opt/current/include/toolkit.h"}
    assert (headers / "build/release/gen/generated.h").is_file()
    place = target.workspace / on_host.FILE
    on_host.save(result.entries, place, target.workspace)
    # A second time, over what the first one left.
    _, again = on_host.for_host(engine, target, Silent(), headers=headers)
    assert again.entries == result.entries
    clangd = shutil.which("clangd")
    if clangd is None:
        pytest.skip("clangd is not installed")
    check = [clangd, f"--check={target.workspace}/a.cpp", "--log=error"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, cwd=target.workspace)
    assert done.returncode == 0, done.stderr


def test_the_file_stays_out_of_gits_sight_and_nobody_elses_is_replaced(
    target: Target, engine: Engine, tmp_path: Path
) -> None:
    _, result = on_host.for_host(engine, target, Silent())
    place = target.workspace / on_host.FILE
    for _ in range(2):
        on_host.save(result.entries, place, target.workspace)
    assert json.loads(place.read_text()) == list(result.entries)
    status: Any = subprocess.run(
        ["git", "status", "--porcelain"], cwd=target.workspace, capture_output=True, text=True, check=True
    ).stdout
    assert on_host.FILE not in status
    place.write_text("[]")
    with pytest.raises(RefusedError, match="devbox did not write it"):
        on_host.save(result.entries, place, target.workspace)
    on_host.save(result.entries, place, target.workspace, force=True)
    subprocess.run(["git", "add", "--force", on_host.FILE], cwd=target.workspace, check=True)
    with pytest.raises(RefusedError, match="tracked"):
        on_host.save(result.entries, place, target.workspace, force=True)
    others = tmp_path / "others"
    others.mkdir()
    (others / "mine").touch()
    with pytest.raises(RefusedError, match="not devbox's"):
        on_host.for_host(engine, target, Silent(), headers=others)


def test_a_tree_without_commands_is_said(target: Target, engine: Engine) -> None:
    with pytest.raises(BuildError, match="has no compile_commands"):
        on_host.for_host(engine, target, Silent(), key="other")
    engine.run(["exec", target.container, "sh", "-c", "echo '[{}' > /build/release/compile_commands.json"])
    with pytest.raises(BuildError, match="damaged"):
        on_host.for_host(engine, target, Silent())
