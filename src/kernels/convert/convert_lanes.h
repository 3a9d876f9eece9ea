// The convert kernels for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too).
#pragma once

#include <cstring>

#include "kernels/convert/convert.h"

namespace paro {
namespace {

template <Vec::F (*Load)(const void*)>
void widen(const uint16_t* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) Vec::store(to + i, Load(from + i));
  if (i < n) {
    uint16_t rest[Vec::kWidth] = {};
    std::memcpy(rest, from + i, static_cast<size_t>(n - i) * 2);
    Vec::store_first(to + i, Load(rest), n - i);
  }
}

void narrow_to_f16(const float* from, int64_t n, uint16_t* to) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) Vec::store_f16(to + i, Vec::load(from + i));
  if (i < n) {
    uint16_t rest[Vec::kWidth];
    Vec::store_f16(rest, Vec::load_first(from + i, n - i));
    std::memcpy(to + i, rest, static_cast<size_t>(n - i) * 2);
  }
}

}  // namespace
}  // namespace paro
