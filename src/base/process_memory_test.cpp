#include "base/process_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace paro {
namespace {

TEST(ProcessMemory, SeesWhatIsTouchedAndItsPeak) {
  constexpr size_t kBytes = size_t{64} << 20;
  const ProcessMemory before = process_memory();
  if (before.resident == 0) GTEST_SKIP() << "no /proc";
  void* data = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(data, MAP_FAILED);
  std::memset(data, 1, kBytes);
  const ProcessMemory during = process_memory();
  ::munmap(data, kBytes);
  const ProcessMemory after = process_memory();
  constexpr int64_t kMost = 60 << 20;  // the kernel's counters lag by some pages
  EXPECT_GT(during.resident - before.resident, kMost);
  EXPECT_GT(during.resident - after.resident, kMost);
  EXPECT_GT(after.peak - after.resident, kMost);
  if (reset_peak_memory()) {
    EXPECT_LT(process_memory().peak, after.peak - kMost);
  }
}

}  // namespace
}  // namespace paro
