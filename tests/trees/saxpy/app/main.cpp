// Checks the reference against what is known, and the kernels against the reference.
//
// Usage: saxpy_check reference|kernels     exit code: 0 all right, 1 a difference, 2 wrong usage, 77 no GPU

#include <cmath>
#include <exception>
#include <iostream>
#include <string>

#include "saxpy/kernels.hpp"
#include "saxpy/reference.hpp"

namespace {

namespace reference = saxpy::reference;
using reference::Vector;

constexpr std::size_t kRows = 511;
constexpr std::size_t kColumns = 257;
constexpr int kNoGpu = 77;

int failures = 0;

void report(const std::string& name, const std::string& difference) {
    std::cout << name << ": " << (difference.empty() ? "ok" : difference) << '\n';
    failures += difference.empty() ? 0 : 1;
}

void report(const std::string& name, double actual, double expected) {
    const bool close = std::fabs(actual - expected) <= 1e-6 * std::fmax(1.0, std::fabs(expected));
    report(name, close ? "" : std::to_string(actual) + " instead of " + std::to_string(expected));
}

void check_reference() {
    report("axpy", saxpy::difference(reference::axpy(2.0F, {1, 2, 3}, {10, 20, 30}), {12, 24, 36}, 0.0F));
    report("dot", reference::dot({1, 2, 3}, {4, 5, 6}), 32.0);
    report("softmax", saxpy::difference(reference::softmax({0, 0, 1, 1}, 2), {0.5, 0.5, 0.5, 0.5}, 1e-6F));
    report("transpose", saxpy::difference(reference::transpose({1, 2, 3, 4, 5, 6}, 3), {1, 4, 2, 5, 3, 6}, 0.0F));
}

void check_kernels() {
    const Vector x = reference::values(kRows * kColumns, 1);
    const Vector y = reference::values(kRows * kColumns, 2);
    report("axpy", saxpy::difference(saxpy::axpy(0.5F, x, y), reference::axpy(0.5F, x, y), 1e-6F));
    report("dot", saxpy::dot(x, y), reference::dot(x, y));
    report("softmax", saxpy::difference(saxpy::softmax(x, kColumns), reference::softmax(x, kColumns), 1e-6F));
    report("transpose", saxpy::difference(saxpy::transpose(x, kColumns), reference::transpose(x, kColumns), 0.0F));
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string what = argc == 2 ? argv[1] : "";
    if (what == "reference") {
        check_reference();
    } else if (what == "kernels") {
        if (saxpy::gpu_count() == 0) {
            std::cout << "there is no GPU here: the kernels were compiled, not run\n";
            return kNoGpu;
        }
        check_kernels();
    } else {
        std::cerr << "usage: saxpy_check reference|kernels\n";
        return 2;
    }
    return failures == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
