#include "saxpy/reference.hpp"

#include <algorithm>
#include <cmath>

namespace saxpy::reference {

Vector axpy(float a, const Vector& x, const Vector& y) {
    Vector result(y);
    for (std::size_t i = 0; i < x.size(); ++i) {
        result[i] += a * x[i];
    }
    return result;
}

double dot(const Vector& x, const Vector& y) {
    double sum = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        sum += static_cast<double>(x[i]) * y[i];
    }
    return sum;
}

Vector softmax(const Vector& values, std::size_t columns) {
    Vector result(values);
    for (auto row = result.begin(); row != result.end(); row += static_cast<std::ptrdiff_t>(columns)) {
        const auto end = row + static_cast<std::ptrdiff_t>(columns);
        const float largest = *std::max_element(row, end);
        float sum = 0.0F;
        for (auto value = row; value != end; ++value) {
            *value = std::exp(*value - largest);
            sum += *value;
        }
        std::for_each(row, end, [sum](float& value) { value /= sum; });
    }
    return result;
}

Vector transpose(const Vector& values, std::size_t columns) {
    const std::size_t rows = values.size() / columns;
    Vector result(values.size());
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t column = 0; column < columns; ++column) {
            result[column * rows + row] = values[row * columns + column];
        }
    }
    return result;
}

Vector values(std::size_t count, unsigned seed) {
    Vector result(count);
    unsigned state = seed * 2654435761U + 1U;
    for (float& value : result) {
        state = state * 1664525U + 1013904223U;
        value = static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
    }
    return result;
}

}  // namespace saxpy::reference
