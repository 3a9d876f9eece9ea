#include "kernels/variants.h"

#include <gtest/gtest.h>

#include <array>

namespace paro {
namespace {

struct Named {
  Isa isa;
};

template <size_t kCount>
Isa chosen(const std::array<Named, kCount>& variants, Isa isa) {
  return variant_for(std::span<const Named>(variants), isa).isa;
}

TEST(Variants, TheBestThatTheSetIncludes) {
  const std::array<Named, 5> x86{
      {{Isa::kReference}, {Isa::kAvx2}, {Isa::kAvxVnni}, {Isa::kAvx512}, {Isa::kAvx512Vnni}}};
  for (const Named& variant : x86) EXPECT_EQ(chosen(x86, variant.isa), variant.isa);
  const std::array<Named, 3> two{{{Isa::kReference}, {Isa::kAvx2}, {Isa::kAvx512}}};
  EXPECT_EQ(chosen(two, Isa::kAvxVnni), Isa::kAvx2);
  EXPECT_EQ(chosen(two, Isa::kAvx512Vnni), Isa::kAvx512);
  const std::array<Named, 3> arm{{{Isa::kReference}, {Isa::kNeon}, {Isa::kNeonI8mm}}};
  for (const Named& variant : arm) EXPECT_EQ(chosen(arm, variant.isa), variant.isa);
  const std::array<Named, 2> dot{{{Isa::kReference}, {Isa::kNeon}}};
  EXPECT_EQ(chosen(dot, Isa::kNeonI8mm), Isa::kNeon);
}

TEST(Variants, NoneOfAnotherArchitecture) {
  const std::array<Named, 2> x86{{{Isa::kReference}, {Isa::kAvx2}}};
  const std::array<Named, 2> arm{{{Isa::kReference}, {Isa::kNeon}}};
  EXPECT_EQ(chosen(x86, Isa::kNeonI8mm), Isa::kReference);
  EXPECT_EQ(chosen(arm, Isa::kAvx512Vnni), Isa::kReference);
}

}  // namespace
}  // namespace paro
