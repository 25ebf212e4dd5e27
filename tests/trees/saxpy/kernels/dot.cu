#include "saxpy/kernels.hpp"

#include <numeric>

#include "device.cuh"

namespace saxpy {
namespace {

constexpr unsigned kThreads = 256;

// One partial sum a block.
__global__ void dot_kernel(const float* x, const float* y, double* partial, std::size_t count) {
    __shared__ double sums[kThreads];
    double sum = 0.0;
    const std::size_t stride = static_cast<std::size_t>(blockDim.x) * gridDim.x;
    for (std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x; i < count; i += stride) {
        sum += static_cast<double>(x[i]) * y[i];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            sums[threadIdx.x] += sums[threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = sums[0];
    }
}

}  // namespace

double dot(const std::vector<float>& x, const std::vector<float>& y) {
    constexpr unsigned kBlocks = 64;
    DeviceArray<float> device_x(x);
    DeviceArray<float> device_y(y);
    DeviceArray<double> partial(kBlocks);
    dot_kernel<<<kBlocks, kThreads>>>(device_x.data(), device_y.data(), partial.data(), x.size());
    check(cudaGetLastError(), "dot");
    const std::vector<double> sums = partial.copy();
    return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace saxpy
