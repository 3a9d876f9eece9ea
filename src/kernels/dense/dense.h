// Products with plain f16, bf16, f32 and row-scaled int8 weights that stay where they are (mapped, aligned or not): y =
// x W^T + bias. Few rows: weights read once, inputs in the lanes. Many rows: panels converted to f32 and shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/cpu.h"
#include "base/dtype.h"

namespace paro {

/// W [out, in], row-major; kF16, kBF16, kF32, or kI8 times the scale of its output.
struct DenseWeight {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t in = 0;
  int64_t out = 0;
  const float* scales = nullptr;  // [out], of kI8 alone
};

/// Inputs of one block of the many-rows kernel.
constexpr int64_t kDenseBlock = 128;
/// Rows up to which the few-rows kernel is faster.
constexpr int64_t kDenseFewRows = 8;

/// Rows as 16-bit integers, for products with int8 weights: x[r, i] = q[r, i] * scales[r], rounded to nearest.
struct Int16Rows {
  const int16_t* q = nullptr;     // [rows, in]
  const float* scales = nullptr;  // [rows]; NaN where the row holds a value that is not finite
  int64_t rows = 0;
};

struct DenseKernels {
  Isa isa;
  int64_t grain;  // ranges of outputs should begin at multiples of it

  /// x [rows, in], rows <= kDenseFewRows -> y [rows, out] for outputs [out_begin, out_end); bias [out] or null. Not
  /// kI8.
  void (*few_rows)(const DenseWeight& weight, const float* x, int64_t rows, int64_t out_begin, int64_t out_end,
                   const float* bias, float* y);
  /// The same with kI8 weights (codes -127..127); sums are exact, so all variants give the same bits.
  void (*few_rows_int8)(const DenseWeight& weight, const Int16Rows& x, int64_t out_begin, int64_t out_end,
                        const float* bias, float* y);
  /// x [blocks of kDenseBlock inputs][rows][inputs of the block], the last block shorter.
  void (*many_rows)(const DenseWeight& weight, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
                    int64_t out_begin, int64_t out_end, const float* bias, float* y);
};

/// Compiled variants, those included that this processor cannot run (see supported_isas()).
std::span<const DenseKernels> dense_variants();
/// The variant of `isa`, or the best below it.
const DenseKernels& dense_kernels(Isa isa);

/// x [rows, in] -> q [rows, in], scales [rows]. The largest |q| is what keeps every sum with codes up to 127 within 32
/// bits: 32767 up to 516 inputs, 8255 at 2,048, 2063 at 8,192.
void round_to_int16(const float* x, int64_t rows, int64_t in, int16_t* q, float* scales);

/// x [rows, in] -> blocked [in / block][rows][block] for rows [begin, end).
void block_inputs(const float* x, int64_t rows, int64_t in, int64_t block, int64_t begin, int64_t end, float* blocked);

}  // namespace paro
