"""Source trees that are made for measuring: many small C files, and one file that takes seconds to compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PER_LIBRARY = 100
EDITED = "edited.cpp"

# Templates that keep the compiler busy for about as long as a typical kernel file.
_HEAVY = """\
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <variant>
#include <vector>

template <int N> struct Tag { int value = N; bool operator<(const Tag& other) const { return value < other.value; } };

template <int N> int busy(const std::string& text) {
    std::map<Tag<N>, std::vector<std::shared_ptr<std::variant<int, std::string, Tag<N>>>>> table;
    table[Tag<N>{}].push_back(std::make_shared<std::variant<int, std::string, Tag<N>>>(text));
    std::function<int(const std::string&)> count = [&](const std::string& word) {
        const bool found = std::regex_search(word, std::regex("a+" + std::to_string(N)));
        return static_cast<int>(table.size()) + (found ? 1 : 0);
    };
    return count(text) + busy<N - 1>(text);
}

template <> int busy<0>(const std::string& text) { return static_cast<int>(text.size()); }

int edited(const std::string& text) { return busy<REPEAT>(text); }
"""


def generate(folder: Path, files: int, *, heavy: int = 0, data: int = 0) -> Path:
    """Write a CMake tree of `files` small C files into `folder` and return it.

    With `heavy`, it also has one C++ file (`EDITED`) of that many instantiations of a costly template. Each object has
    `data` bytes beside its code.
    """
    folder.mkdir(parents=True)
    (folder / "common.h").write_text("#pragma once\n#define SCALE 3\nint scale(int value);\n")
    cmake = ["cmake_minimum_required(VERSION 3.20)", f"project(many LANGUAGES C{' CXX' if heavy else ''})"]
    for library, first in enumerate(range(0, files, PER_LIBRARY)):
        place = folder / f"part{library}"
        place.mkdir()
        names = []
        for number in range(first, min(first + PER_LIBRARY, files)):
            names.append(f"part{library}/file{number}.c")
            text = f'#include "../common.h"\n\nint file{number}(int value) {{ return value * SCALE + {number}; }}\n'
            (folder / names[-1]).write_text(text + (f"char data{number}[{data}] = {{1}};\n" if data else ""))
        cmake.append(f"add_library(part{library} STATIC {' '.join(names)})")
    if heavy:
        (folder / EDITED).write_text(_HEAVY.replace("REPEAT", str(heavy)))
        cmake += [f"add_library(edited STATIC {EDITED})", "target_compile_options(edited PRIVATE -std=c++17 -O2)"]
    (folder / "CMakeLists.txt").write_text("\n".join(cmake) + "\n")
    return folder


def edit(path: Path, number: int) -> None:
    """Give a source file new content, so that neither make nor a compiler cache can have seen it before."""
    text = path.read_text().partition("// edit ")[0]

    unique = f"// edit {number}\nint edit_{number}(void);\nint edit_{number}(void) {{ return {number}; }}\n"
    path.write_text(text + unique)
