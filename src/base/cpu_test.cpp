#include "base/cpu.h"

#include <gtest/gtest.h>
#include <sched.h>

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

TEST(Cpu, AffinityBoundsTheCores) {
  const int all = physical_cores();
  EXPECT_GE(all, 1);
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(physical_cores(), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(physical_cores(), all);
}

}  // namespace
}  // namespace paro
