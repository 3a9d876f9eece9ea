#include "base/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace paro {
namespace {

TEST(Cpu, IsasRiseFromTheReference) {
  const auto& isas = supported_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), Isa::kReference);
  EXPECT_TRUE(std::is_sorted(isas.begin(), isas.end()));
  EXPECT_NE(std::find(isas.begin(), isas.end(), active_isa()), isas.end());
  std::set<std::string_view> names;
  for (Isa isa : isas) names.insert(isa_name(isa));
  EXPECT_EQ(names.size(), isas.size());
}

}  // namespace
}  // namespace paro
