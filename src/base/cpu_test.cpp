#include "base/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/wait.h>
#include <unistd.h>
#endif

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

#if defined(__aarch64__) && defined(__linux__)
// Whether a child lives through body().
bool runs(void (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Cpu, NeonIsWhatTheProcessorExecutes) {
  const auto supported = [](Isa isa) {
    return std::find(supported_isas().begin(), supported_isas().end(), isa) != supported_isas().end();
  };
  // As numbers: the assembler is not told of the extensions here.
  EXPECT_EQ(runs([] { asm volatile(".inst 0x4e809400" ::: "v0"); }), supported(Isa::kNeon)) << "sdot";
  EXPECT_EQ(runs([] { asm volatile(".inst 0x4e80a400" ::: "v0"); }), supported(Isa::kNeonI8mm)) << "smmla";
}
#endif

}  // namespace
}  // namespace paro
