// The operations in plain C++, and how results are compared.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace saxpy::reference {

using Vector = std::vector<float>;

// y + a*x, element by element. The vectors have the same length.
Vector axpy(float a, const Vector& x, const Vector& y);

// The sum of x*y, added in double precision.
double dot(const Vector& x, const Vector& y);

// Softmax over each row of a row-major matrix of `columns` columns.
Vector softmax(const Vector& values, std::size_t columns);

// The transpose of a row-major matrix of `columns` columns.
Vector transpose(const Vector& values, std::size_t columns);

// A repeatable sequence of values in [-1, 1).
Vector values(std::size_t count, unsigned seed);

}  // namespace saxpy::reference

namespace saxpy {

// Empty if both agree within `tolerance` everywhere; else a sentence about the first place where they do not.
std::string difference(const reference::Vector& actual, const reference::Vector& expected, float tolerance);

}  // namespace saxpy
