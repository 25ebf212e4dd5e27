#include "saxpy/kernels.hpp"

#include "device.cuh"

namespace saxpy {
namespace {

constexpr unsigned kThreads = 128;

struct Largest {
    __device__ float operator()(float a, float b) const { return a > b ? a : b; }
};

struct Sum {
    __device__ float operator()(float a, float b) const { return a + b; }
};

template <typename Operation>
__device__ float reduce(float value, float* scratch, Operation operation) {
    scratch[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            scratch[threadIdx.x] = operation(scratch[threadIdx.x], scratch[threadIdx.x + half]);
        }
        __syncthreads();
    }
    const float result = scratch[0];
    __syncthreads();
    return result;
}

// One block a row. The row's largest value is taken off first, so that no exponential overflows.
__global__ void softmax_kernel(float* values, std::size_t columns) {
    __shared__ float scratch[kThreads];
    float* row = values + blockIdx.x * columns;
    float largest = -INFINITY;
    for (std::size_t i = threadIdx.x; i < columns; i += kThreads) {
        largest = Largest{}(largest, row[i]);
    }
    largest = reduce(largest, scratch, Largest{});
    float sum = 0.0F;
    for (std::size_t i = threadIdx.x; i < columns; i += kThreads) {
        row[i] = expf(row[i] - largest);
        sum += row[i];
    }
    sum = reduce(sum, scratch, Sum{});
    for (std::size_t i = threadIdx.x; i < columns; i += kThreads) {
        row[i] /= sum;
    }
}

}  // namespace

std::vector<float> softmax(const std::vector<float>& values, std::size_t columns) {
    DeviceArray<float> device(values);
    softmax_kernel<<<static_cast<unsigned>(values.size() / columns), kThreads>>>(device.data(), columns);
    check(cudaGetLastError(), "softmax");
    return device.copy();
}

}  // namespace saxpy
