#include "saxpy/kernels.hpp"

#include "device.cuh"

namespace saxpy {
namespace {

constexpr unsigned kThreads = 256;

__global__ void axpy_kernel(float a, const float* x, float* y, std::size_t count) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < count) {
        y[i] += a * x[i];
    }
}

}  // namespace

int gpu_count() {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::vector<float> axpy(float a, const std::vector<float>& x, const std::vector<float>& y) {
    DeviceArray<float> device_x(x);
    DeviceArray<float> device_y(y);
    axpy_kernel<<<blocks(x.size(), kThreads), kThreads>>>(a, device_x.data(), device_y.data(), x.size());
    check(cudaGetLastError(), "axpy");
    return device_y.copy();
}

}  // namespace saxpy
