// Weights and moments laid out for the numeric steps: transposed, in another order of the inputs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "calib/numeric/blas.h"

namespace paro::calib {

/// w [out, in] -> [in, out].
std::vector<float> transposed(const std::vector<float>& w, int64_t out, ThreadPool& pool);

/// Input i of the result is input order[i]: of w [in, out], of rows and columns of h.
std::vector<float> reordered(const std::vector<float>& w, int64_t out, std::span<const int32_t> order);
SquareMatrix reordered(const SquareMatrix& h, std::span<const int32_t> order);

}  // namespace paro::calib
