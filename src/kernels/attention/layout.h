// How attend_rows cuts its scratch memory: shared by its variants.
#pragma once

#include <cstdint>

#include "kernels/attention/attention.h"

namespace paro {

/// Positions widened to f32 at a time: keys and values of a block at head_dim 64 are 32 KB.
inline constexpr int64_t kRowsBlock = 64;
/// Rows that run through the registers together, at most.
inline constexpr int64_t kMaxRowGroup = 16;

struct RowsScratch {
  float* keys;    // [kRowsBlock / 16][head_dim][16]
  float* values;  // [padded_head_dim / 16][kRowsBlock][16]
  float* scores;  // [kMaxRowGroup][kRowsBlock]
  float* out;     // [rows][padded_head_dim]
  float* max;     // [rows]
  float* sum;     // [rows]

  static int64_t floats(int64_t rows, int64_t head_dim) {
    const int64_t padded = padded_head_dim(head_dim);
    return kRowsBlock * (head_dim + padded + kMaxRowGroup) + rows * (padded + 2);
  }
  RowsScratch(float* memory, int64_t rows, int64_t head_dim) {
    const int64_t padded = padded_head_dim(head_dim);
    keys = memory;
    values = keys + kRowsBlock * head_dim;
    scores = values + kRowsBlock * padded;
    out = scores + kMaxRowGroup * kRowsBlock;
    max = out + rows * padded;
    sum = max + rows;
  }
};

}  // namespace paro
