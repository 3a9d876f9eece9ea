// Rows of a dense weight rounded to 4 bits without calibration, and their way into the kernels' layout range by range:
// what the head rounded on loading and tables of 4 bits in a checkpoint share.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/tensor.h"
#include "base/threads.h"
#include "kernels/int4/int4.h"

namespace paro {

/// Codes of rows in groups of kRoundedInt4Group inputs; value = (code - zero) * scale.
struct RoundedRows {
  std::vector<uint8_t> codes;  // [rows, in], 0..15
  std::vector<uint8_t> zeros;  // [rows, in / group], 0..15
  std::vector<float> scales;   // [rows, in / group], rounded to f16; NaN in rows that are not finite
};

/// Rows [begin, end) of weight [rows, in] (F16, BF16 or F32; in a multiple of kRoundedInt4Group), each group with the
/// range of least squared error: 1, 0.975, ... 0.6 of that of its values.
RoundedRows round_rows(const TensorView& weight, int64_t begin, int64_t end);

/// Packs all outputs of `packed`, whose sizes are set and memory allocated; rows(begin, end) is called on any thread.
void pack_rows(PackedInt4& packed, ThreadPool* pool,
               const std::function<RoundedRows(int64_t begin, int64_t end)>& rows);

}  // namespace paro
