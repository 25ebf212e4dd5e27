#include "saxpy/kernels.hpp"

#include "device.cuh"

namespace saxpy {
namespace {

constexpr unsigned kTile = 16;

// Through shared memory, so that both the reads and the writes are of neighbouring addresses. The extra column keeps the
// threads of a warp on different banks.
__global__ void transpose_kernel(const float* in, float* out, std::size_t rows, std::size_t columns) {
    __shared__ float tile[kTile][kTile + 1];
    std::size_t column = blockIdx.x * kTile + threadIdx.x;
    std::size_t row = blockIdx.y * kTile + threadIdx.y;
    if (row < rows && column < columns) {
        tile[threadIdx.y][threadIdx.x] = in[row * columns + column];
    }
    __syncthreads();
    column = blockIdx.y * kTile + threadIdx.x;
    row = blockIdx.x * kTile + threadIdx.y;
    if (row < columns && column < rows) {
        out[row * rows + column] = tile[threadIdx.x][threadIdx.y];
    }
}

}  // namespace

std::vector<float> transpose(const std::vector<float>& values, std::size_t columns) {
    const std::size_t rows = values.size() / columns;
    DeviceArray<float> in(values);
    DeviceArray<float> out(values.size());
    const dim3 threads(kTile, kTile);
    const dim3 grid(blocks(columns, kTile), blocks(rows, kTile));
    transpose_kernel<<<grid, threads>>>(in.data(), out.data(), rows, columns);
    check(cudaGetLastError(), "transpose");
    return out.copy();
}

}  // namespace saxpy
