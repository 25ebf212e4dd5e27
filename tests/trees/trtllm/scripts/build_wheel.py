"""A build script with the options and the course of TensorRT-LLM's, for a tree that compiles in a second.

What takes long there is a file here: the requirements, conan's toolchain, the generated kernels.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "cpp"
GENERATED = SOURCE / "kernels" / "generated"


def shell(line: str, folder: Path) -> None:
    """Run a line with the shell, as the real script does."""
    subprocess.run(line, shell=True, check=True, cwd=folder)


def generate() -> None:
    """Write the generated kernels; the stamp comes last."""
    GENERATED.mkdir(exist_ok=True)
    stamp = GENERATED / ".generation_complete"
    stamp.unlink(missing_ok=True)
    (GENERATED / "fmha_sm90.cpp").write_text("int fmha() { return 90; }\n")
    stamp.touch()


def link_or_copy(source: Path, target: Path, *, link: bool) -> None:
    """Put a library into the package."""
    if target.is_symlink() or target.exists():
        target.unlink()
    if link:
        target.symlink_to(source)
    else:
        shutil.copy(source, target)


def main(args: argparse.Namespace) -> None:
    """Configure, build, link, pack."""
    build_dir = Path(args.build_dir).resolve() if args.build_dir else SOURCE / "build"
    state = Path(getattr(args, "build_root", None) or PROJECT)
    first_build = not (build_dir / "CMakeFiles").exists()
    if args.clean and build_dir.exists():
        for path in build_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    build_dir.mkdir(parents=True, exist_ok=True)
    if not args.skip_requirements:
        (state / ".venv").mkdir(parents=True, exist_ok=True)
        with (state / ".venv" / "runs").open("a") as stream:
            stream.write("pip install -r requirements-dev.txt\n")
    if args.clean or not (GENERATED / ".generation_complete").exists():
        generate()
    given = [f'"-D{one}"' for text in args.extra_cmake_vars for one in text.split(";")]
    if args.fast_build:
        given.append("-DFAST_BUILD=ON")
    targets = ["tensorrt_llm"]
    if not args.cpp_only:
        targets.append("bindings")
    if args.micro_benchmarks:
        targets.append("micro_benchmarks")
    if args.clean or first_build or args.configure_cmake or getattr(args, "configure_only", False):
        toolchain = build_dir / "conan" / "conan_toolchain.cmake"
        toolchain.parent.mkdir(exist_ok=True)
        toolchain.write_text("set(CONAN ON)\n")
        shell(
            f'cmake -DCMAKE_BUILD_TYPE="{args.build_type}" -DBUILD_PYT={"OFF" if args.cpp_only else "ON"}'
            f" -DNVTX_DISABLE={'OFF' if args.nvtx else 'ON'}"
            f" -DBUILD_MICRO_BENCHMARKS={'ON' if args.micro_benchmarks else 'OFF'}"
            f' -DBUILD_WHEEL_TARGETS="{";".join(targets)}" -DCMAKE_TOOLCHAIN_FILE={toolchain}'
            f' "-DCMAKE_CUDA_ARCHITECTURES={args.cuda_architectures or "all"}" {" ".join(given)}'
            f' {"-G" + args.generator if args.generator else ""} -S "{SOURCE}"',
            build_dir,
        )
    if getattr(args, "configure_only", False):
        return
    shell(
        f"cmake --build . --config {args.build_type} --parallel {args.job_count or os.cpu_count()}"
        f" --target build_wheel_targets {' '.join(args.extra_make_targets)}",
        build_dir,
    )
    if args.cpp_only:
        return
    libraries = PROJECT / "tensorrt_llm" / "libs"
    shutil.rmtree(libraries, ignore_errors=True)
    libraries.mkdir()
    link = args.skip_building_wheel and args.linking_install_binary
    link_or_copy(build_dir / "libtensorrt_llm.so", libraries / "libtensorrt_llm.so", link=link)
    link_or_copy(build_dir / "bindings.so", PROJECT / "tensorrt_llm" / "bindings.so", link=link)
    if not args.skip_building_wheel:
        dist = Path(args.dist_dir or PROJECT / "build")
        dist.mkdir(parents=True, exist_ok=True)
        shutil.make_archive(str(dist / "tensorrt_llm-0.1-py3-none-any"), "zip", PROJECT, "tensorrt_llm")


def arguments() -> argparse.ArgumentParser:
    """Return the options, by the names that they have there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build_type", "-b", default="Release", choices=["Release", "RelWithDebInfo", "Debug"])
    parser.add_argument("--generator", "-G", default="")
    parser.add_argument("--cuda_architectures", "-a")
    parser.add_argument("--clean", "-c", action="store_true")
    parser.add_argument("--configure_cmake", action="store_true")
    parser.add_argument("--configure-only", action="store_true")
    parser.add_argument("--use_ccache", action="store_true")
    parser.add_argument("--fast_build", "-f", action="store_true")
    parser.add_argument("--job_count", "-j", nargs="?")
    parser.add_argument("--cpp_only", "-l", action="store_true")
    parser.add_argument("--extra-cmake-vars", "-D", action="append", default=[])
    parser.add_argument("--extra-make-targets", nargs="+", default=[])
    parser.add_argument("--nccl_root")
    parser.add_argument("--build_dir")
    parser.add_argument("--build_root")
    parser.add_argument("--dist_dir")
    parser.add_argument("--skip_building_wheel", "-s", action="store_true")
    parser.add_argument("--linking_install_binary", action="store_true")
    parser.add_argument("--micro_benchmarks", action="store_true")
    parser.add_argument("--nvtx", action="store_true")
    parser.add_argument("--no-venv", action="store_true")
    parser.add_argument("--skip_requirements", action="store_true")
    parser.add_argument("--yes", "-y", action="store_true")
    return parser


if __name__ == "__main__":
    try:
        main(arguments().parse_args())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
