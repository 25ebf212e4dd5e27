"""A small tree that has everything by which a build can be deceived; the walk's steps change it.

Generated headers and sources, with and without a depfile, and by Python; precompiled headers, unity builds, OBJECT,
STATIC and SHARED libraries; `file(GLOB)`, a submodule, links out of the checkout, assembly, `.incbin`, `#include_next`
and `__has_include`. Behind options: a version from git, C++ modules, and CUDA.
"""

from __future__ import annotations

CMAKE = """\
cmake_minimum_required(VERSION 3.16...3.28)
project(lab C CXX ASM)
option(LOUD "Print more" OFF)
option(VERSIONED "Compile git's commit in" OFF)
option(MODULES "Use C++ modules" OFF)
option(KERNELS "Use CUDA" OFF)
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
add_link_options(-Wl,--build-id=none)
include_directories(early "late" ${CMAKE_CURRENT_BINARY_DIR} "@outside@")
include(cmake/flags.cmake)
configure_file(config.h.in config.h)
file(GLOB FOUND ${CMAKE_CURRENT_SOURCE_DIR}/globbed/*.c)
add_custom_command(OUTPUT made.h COMMAND sh "${CMAKE_SOURCE_DIR}/make.sh" "${CMAKE_SOURCE_DIR}/made.in" made.h
  DEPENDS made.in make.sh)
add_custom_command(OUTPUT listed.c COMMAND sh "${CMAKE_SOURCE_DIR}/list.sh" "${CMAKE_SOURCE_DIR}" listed.c listed.d
  DEPENDS list.sh DEPFILE ${CMAKE_CURRENT_BINARY_DIR}/listed.d)
find_program(PYTHON python3 REQUIRED)
add_custom_command(OUTPUT table.c table.h COMMAND "${PYTHON}" "${CMAKE_SOURCE_DIR}/tools/table.py"
  "${CMAKE_SOURCE_DIR}/table.txt" DEPENDS table.txt tools/table.py tools/helper.py)
add_library(objects OBJECT object.c blob.S)
set_source_files_properties(blob.S PROPERTIES OBJECT_DEPENDS "${CMAKE_SOURCE_DIR}/blob.bin"
  COMPILE_OPTIONS "-Wa,-I,${CMAKE_SOURCE_DIR}")
add_library(parts STATIC one.c generated.c listed.c made.h table.c ${FOUND})
target_precompile_headers(parts PRIVATE pch.h)
add_library(plus STATIC plus.cpp)
target_precompile_headers(plus PRIVATE pch.h <vector>)
add_library(shared SHARED shared.c)
add_library(unity STATIC u1.c u2.c)
set_target_properties(unity PROPERTIES UNITY_BUILD ON)
add_subdirectory(sub)
add_executable(lab main.c $<TARGET_OBJECTS:objects>)
target_link_libraries(lab PRIVATE parts plus shared unity sub)
if(LOUD)
  target_compile_definitions(lab PRIVATE LOUD=1)
endif()
if(VERSIONED)
  execute_process(COMMAND git rev-parse HEAD OUTPUT_VARIABLE V OUTPUT_STRIP_TRAILING_WHITESPACE
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_source_files_properties(main.c PROPERTIES COMPILE_DEFINITIONS "COMMIT=\\"${V}\\"")
endif()
if(MODULES)
  add_library(modules STATIC modules/user.cpp)
  target_sources(modules PUBLIC FILE_SET all TYPE CXX_MODULES FILES modules/inner.cppm modules/outer.cppm)
  target_compile_features(modules PRIVATE cxx_std_20)
endif()
if(KERNELS)
  set(CMAKE_CUDA_ARCHITECTURES 75-real)
  enable_language(CUDA)
  add_library(kernels SHARED kernels/one.cu kernels/two.cu)
  set_target_properties(kernels PROPERTIES CUDA_SEPARABLE_COMPILATION ON)
endif()
"""
MAIN = """\
#include <stdio.h>
int one(void), generated(void), listed(void), object(void), shared(void), u1(void), u2(void), found(void), table(void),
    plus(void), sub(void);
extern const char blob[];
#ifndef LOUD
#define LOUD 0
#endif
#ifndef COMMIT
#define COMMIT ""
#endif
int main(void) {
  printf("%d %d %d %d %d %d %d %d %d %d %d %c %d %s\\n", one(), generated(), listed(), object(), shared(), u1(), u2(),
         found(), table(), plus(), sub(), blob[0], LOUD, COMMIT);
  return 0;
}
"""
TABLE = """\
import sys
from pathlib import Path

from helper import factor

value = int(Path(sys.argv[1]).read_text()) // 2 * factor
source = '#include "table.h"\\nint table(void) { return TABLE; }\\n'
for name, text in (("table.h", f"#define TABLE {value}\\n"), ("table.c", source)):
    if not Path(name).exists() or Path(name).read_text() != text:
        Path(name).write_text(text)
"""
FILES = {
    "CMakeLists.txt": CMAKE,
    "cmake/flags.cmake": "add_compile_definitions(FLAG=1)\n",
    "config.h.in": "#define CONFIG 1\n",
    "made.in": "1\n",
    "make.sh": '(printf "#define MADE "; cat "$1") > "$2"\n',
    "list.sh": 'printf "int listed(void) { return %s; }\\n" "$(cat "$1/list.txt")" > "$2"\n'
    'printf "%s: %s\\n" "$2" "$(printf %s "$1/list.txt" | sed "s/ /\\\\\\\\ /g")" > "$3"\n',
    "list.txt": "1\n",
    "table.txt": "1\n",
    "tools/table.py": TABLE,
    "tools/helper.py": "factor = 1\n",
    "pch.h": "#define PCH 1\n",
    "shared.h": "#define SHARED 1\n",
    "inc/inner.h": "#define INNER 1\n",
    "late/header.h": "#define HEADER 1\n",
    "late/next.h": "#define NEXT 1\n",
    "early/next.h": "#include_next <next.h>\n",
    "real.h": "#define LINKED 1\n",
    "other.h": "#define LINKED 2\n",
    "globbed/first.c": "int first(void) { return 1; }\n",
    "globbed/found.c": "int found(void) { return FLAG; }\n",
    "one.c": '#include "shared.h"\n#include "inc/inner.h"\n#include <header.h>\nint one(void) { return SHARED * 100 '
    "+ INNER * 10 + HEADER + PCH; }\n",
    "generated.c": '#include "made.h"\n#include "config.h"\nint generated(void) { return MADE * 10 + CONFIG; }\n',
    "object.c": '#include "linked.h"\n#include <next.h>\n#if __has_include("maybe.h")\n#include "maybe.h"\n#else\n'
    "#define MAYBE 0\n#endif\nint object(void) { return LINKED * 100 + NEXT * 10 + MAYBE; }\n",
    "blob.S": '.globl blob\n.data\nblob: .incbin "blob.bin"\n.byte 0\n.section .note.GNU-stack,"",@progbits\n',
    "blob.bin": "a",
    "plus.cpp": "#if __has_include(<environment.h>)\n#include <environment.h>\n#else\n#define ENVIRONMENT 0\n#endif\n"
    'extern "C" int plus() { return std::vector<int>(ENVIRONMENT + PCH).size(); }\n',
    "shared.c": '#include "shared.h"\n#include <outside.h>\nint shared(void) { return SHARED * 10 + OUTSIDE; }\n',
    "u1.c": "int u1(void) { return 1; }\n",
    "u2.c": '#include "shared.h"\nint u2(void) { return SHARED; }\n',
    "main.c": MAIN,
    "modules/inner.cppm": "export module inner;\nexport int inner() { return 1; }\n",
    "modules/outer.cppm": "export module outer;\nimport inner;\nexport int outer() { return inner() * 10 + 1; }\n",
    "modules/user.cpp": '#include "user.h"\nimport outer;\nint modular() { return outer() + USER; }\n',
    "modules/user.h": "#define USER 1\n",
    "kernels/kernel.h": "#define KERNEL 1\n",
    "kernels/one.cu": '#include "kernel.h"\n__device__ int two(int);\n'
    "__global__ void one(int* out) { *out = two(KERNEL); }\n"
    'extern "C" int launch() { one<<<1, 1>>>(nullptr); return KERNEL; }\n',
    "kernels/two.cu": "__device__ int two(int x) { return x * 1; }\n",
}
# The submodule's own files.
SUBMODULE = {
    "CMakeLists.txt": "add_library(sub STATIC sub.c)\ntarget_include_directories(sub PUBLIC include)\n",
    "include/sub.h": "#define SUB 1\n",
    "sub.c": "#include <sub.h>\nint sub(void) { return SUB; }\n",
}
# What is edited: another number each time.
NUMBERED = {
    "cmake/flags.cmake": "add_compile_definitions(FLAG={})\n",
    "config.h.in": "#define CONFIG {}\n",
    "made.in": "{}\n",
    "list.txt": "{}\n",
    "table.txt": "{}\n",
    "tools/helper.py": "factor = {}\n",
    "pch.h": "#define PCH {}\n",
    "shared.h": "#define SHARED {}\n",
    "inc/inner.h": "#define INNER {}\n",
    "late/header.h": "#define HEADER {}\n",
    "late/next.h": "#define NEXT {}\n",
    "real.h": "#define LINKED {}\n",
    "blob.bin": "{}",
    "sub/include/sub.h": "#define SUB {}\n",
    "u1.c": "int u1(void) {{ return {}; }}\n",
    "make.sh": '(printf "#define MADE {}"; cat "$1") > "$2"\n',
}
MODULES = {
    "modules/inner.cppm": "export module inner;\nexport int inner() {{ return {}; }}\n",
    "modules/outer.cppm": "export module outer;\nimport inner;\nexport int outer() {{ return inner() * 10 + {}; }}\n",
    "modules/user.h": "#define USER {}\n",
}
KERNELS = {
    "kernels/kernel.h": "#define KERNEL {}\n",
    "kernels/two.cu": "__device__ int two(int x) {{ return x * {}; }}\n",
}
# What comes and goes: headers before the ones that were read, and that are asked for; what a GLOB finds.
COMING = {
    "early/header.h": "#define HEADER 7\n",
    "maybe.h": "#define MAYBE 8\n",
    "inc/header.h": "#define HEADER 6\n",
    "header.h": "#define HEADER 5\n",
    "early/inc/inner.h": "#define INNER 7\n",
    "inc/shared.h": "#define SHARED 7\n",
    "early/linked.h": "#define LINKED 7\n",
    "globbed/more.c": "int more(void) { return 1; }\n",
    "globbed/shared.h": "#define SHARED 8\n",
}
