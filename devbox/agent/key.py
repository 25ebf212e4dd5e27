"""The build key: the short hash that names a build tree, and what it is made from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .hashes import sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGITS = 8

# What happens when an input of a build changes. docs/reference/build-key.md shows this table, and a test runs each row.
ANOTHER_TREE = "another tree"
RECONFIGURE = "reconfigure"
NOTHING = "nothing"
EFFECTS = (
    ("framework, variant", ANOTHER_TREE),
    ("build type", ANOTHER_TREE),
    ("architectures", ANOTHER_TREE),
    ("generator", ANOTHER_TREE),
    ("source folder (container path)", ANOTHER_TREE),
    ("nvcc threads", ANOTHER_TREE),
    ("C, C++ or CUDA compiler: path, version or file", ANOTHER_TREE),
    ("cmake version, ninja version", ANOTHER_TREE),
    ("Python: path or version; torch: version or ABI, where the framework uses it", ANOTHER_TREE),
    ("a compiler launcher that the container's environment sets", ANOTHER_TREE),
    ("build-relevant packages of the image (/etc/devbox/toolchain.json)", ANOTHER_TREE),
    ("a -D that chooses one of the above", ANOTHER_TREE),
    ("--preset: another one, or none", ANOTHER_TREE),
    ("Rust compiler, the steps of the build, where cargo builds", ANOTHER_TREE),
    ("any other -D, given, changed or dropped; the framework's own defines; a preset's variables", RECONFIGURE),
    ("--option, --benchmarks, --cpp-only: what the checkout's build script is told", RECONFIGURE),
    (
        "what cmake reads: its files, toolchain, configure_file's inputs, CMAKE_CONFIGURE_DEPENDS",
        RECONFIGURE,
    ),
    ("CMakeCache.txt, edited by hand", RECONFIGURE),
    ("CFLAGS, CMAKE_PREFIX_PATH and other variables that CMake reads once; a preset's environment", RECONFIGURE),
    ("CPATH, LIBRARY_PATH, NVCC_APPEND_FLAGS and other variables that compilers read", "reconfigure, and compile all"),
    ("--reconfigure", RECONFIGURE),
    ("image with the same toolchain, container recreated", NOTHING),
    ("compiler cache: another one, none, its size or its shared storage", NOTHING),
    ("jobs, targets, `--trace`", NOTHING),
)

# Names that a user may set with -D and that choose the toolchain, type or architecture: they are part of the key.
KEYED = re.compile(
    r"CMAKE_(BUILD_TYPE|TOOLCHAIN_FILE|CUDA_ARCHITECTURES|CUDA_HOST_COMPILER|MAKE_PROGRAM)"
    r"|CMAKE_(C|CXX|CUDA)_COMPILER(_LAUNCHER|_TARGET)?"
    r"|Python3?_EXECUTABLE|CUDAToolkit_ROOT|CUDA_TOOLKIT_ROOT_DIR"
)


def digest(inputs: Mapping[str, Any]) -> str:
    """Return the hash of the inputs, in hex."""
    return sha256(json.dumps(inputs, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def key(inputs: Mapping[str, Any]) -> str:
    """Return the name of the tree for the inputs: `release-90-ab12cd34`. Type and architectures are for the eye."""
    arch = re.sub(r"-(real|virtual)\b", "", str(inputs.get("arch") or "")).replace(".", "")
    words = [str(inputs["type"]).lower(), "+".join(re.findall(r"[A-Za-z0-9]+", arch)), digest(inputs)[:DIGITS]]
    return "-".join(re.sub(r"[^a-z0-9+]", "", word[:24]) for word in words if word)
