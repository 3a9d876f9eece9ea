// For tests and benches: walking an operation's variants, and seeded numbers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <random>
#include <span>
#include <vector>

#include "kernels/variants.h"

namespace paro {

/// Calls visit(variant) for each variant this processor can run; says on stdout which ones are skipped.
template <typename Variant, typename Visit>
void for_each_variant(std::span<const Variant> variants, const Visit& visit) {
  for (const Variant& variant : variants) {
    if (isa_supported(variant.isa))
      visit(variant);
    else
      std::printf("[ SKIPPED ] %s: this processor lacks it\n", std::string(isa_name(variant.isa)).c_str());
  }
}

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(engine);
  return values;
}

}  // namespace paro
