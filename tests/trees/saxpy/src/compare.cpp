#include <cmath>
#include <sstream>

#include "saxpy/reference.hpp"

namespace saxpy {

std::string difference(const reference::Vector& actual, const reference::Vector& expected, float tolerance) {
    std::ostringstream text;
    if (actual.size() != expected.size()) {
        text << actual.size() << " values instead of " << expected.size();
        return text.str();
    }
    for (std::size_t i = 0; i < actual.size(); ++i) {
        // Written so that a NaN is a difference.
        if (!(std::fabs(actual[i] - expected[i]) <= tolerance)) {
            text << "value " << i << " is " << actual[i] << " instead of " << expected[i];
            return text.str();
        }
    }
    return {};
}

}  // namespace saxpy
