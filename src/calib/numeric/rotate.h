// Turning weights and second moments into the rotated basis, with the angles as they are stored.
#pragma once

#include <cstdint>

#include "base/threads.h"
#include "calib/numeric/blas.h"
#include "quant/paro4/format.h"

namespace paro::calib {

/// w [in, rows] (transposed), in place: every column becomes R (w / channel_scales).
void rotate_transposed(const PairRotation& rotation, float* w, int64_t rows, ThreadPool& pool);
/// H of x -> H of x' = R diag(channel_scales) x, in place, in f64.
void rotate_second_moment(const PairRotation& rotation, SquareMatrix& h, ThreadPool& pool);

}  // namespace paro::calib
