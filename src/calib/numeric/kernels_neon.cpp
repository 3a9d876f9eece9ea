// The calibration loops compiled for NEON, with FMA.
#include <algorithm>
#include <bit>

#include "base/dtype.h"
#include "calib/numeric/kernels.h"

#define PARO_MADD(a, b, c) __builtin_fmaf(a, b, c)

namespace paro::calib {
namespace {
#include "calib/numeric/fit_loops.h"
#include "calib/numeric/round_loops.h"
}  // namespace

const Kernels kNeonKernels = {fit_group_body, angle_gradient_body, choose_range_body, gptq_tile_body,
                              descent_tile_body};

}  // namespace paro::calib
