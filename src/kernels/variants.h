// Choosing a kernel's variant: each operation has one list of variants (tables of function pointers, kReference first,
// best last); what runs is decided once, at start. Tests and benches walk the same lists.
#pragma once

#include <algorithm>
#include <span>

#include "base/cpu.h"

namespace paro {

/// The best variant that `isa` includes (kAvx512Vnni includes kAvx512 and so on, kNeonI8mm kNeon; kAvxVnni is included
/// by none). An operation with a kAvxVnni variant has a kAvx512 one too, which comes after it. A list holds the
/// variants of one architecture.
template <typename Variant>
const Variant& variant_for(std::span<const Variant> variants, Isa isa) {
  const Variant* best = &variants.front();
  for (const Variant& variant : variants)
    if (variant.isa <= isa && (variant.isa >= Isa::kNeon) == (isa >= Isa::kNeon)) best = &variant;
  return *best;
}

/// Whether this processor can run kernels written for `isa`.
inline bool isa_supported(Isa isa) {
  const auto& isas = supported_isas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

}  // namespace paro
