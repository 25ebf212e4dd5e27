# A CMake/CUDA tree needs nothing beyond the toolchain.
FROM toolchain AS devel
