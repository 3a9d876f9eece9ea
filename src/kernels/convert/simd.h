// The vector body of kernels/convert.
#pragma once

#include <cstring>

#include "kernels/convert/convert.h"

namespace paro {
namespace {

template <Vec (*Load)(const uint16_t*)>
void widen(const uint16_t* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(to + i, Load(from + i));
  if (i < n) {
    uint16_t rest[Vec::kLanes] = {};
    std::memcpy(rest, from + i, static_cast<size_t>(n - i) * 2);
    store_first(to + i, Load(rest), n - i);
  }
}

void narrow_to_f16(const float* from, int64_t n, uint16_t* to) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store_f16(to + i, load(from + i));
  if (i < n) {
    uint16_t rest[Vec::kLanes];
    store_f16(rest, load_first(from + i, n - i));
    std::memcpy(to + i, rest, static_cast<size_t>(n - i) * 2);
  }
}

constexpr ConvertKernels kSimdVariant{kVecIsa, widen<load_f16>, widen<load_bf16>, narrow_to_f16};

}  // namespace
}  // namespace paro
