// The same operations on the GPU. Each copies its input there and its result back, and throws std::runtime_error if CUDA fails.
#pragma once

#include <cstddef>
#include <vector>

namespace saxpy {

// The number of GPUs that can be used; 0 where there is no driver.
int gpu_count();

std::vector<float> axpy(float a, const std::vector<float>& x, const std::vector<float>& y);
double dot(const std::vector<float>& x, const std::vector<float>& y);
std::vector<float> softmax(const std::vector<float>& values, std::size_t columns);
std::vector<float> transpose(const std::vector<float>& values, std::size_t columns);

}  // namespace saxpy
