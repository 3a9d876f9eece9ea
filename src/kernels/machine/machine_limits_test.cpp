#include "kernels/machine/machine_limits.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/test_variants.h"

namespace paro {
namespace {

TEST(MachineLimits, EveryVariantReadsAllOfIt) {
  for_each_variant(machine_variants(), [](const MachineKernels& kernels) {
    for (size_t place : {size_t{0}, size_t{1023}, size_t{4095}}) {
      std::vector<uint8_t> data(8192, 0);
      EXPECT_EQ(kernels.read(data.data(), 4096), 0u);
      data[place] = 1;
      EXPECT_NE(kernels.read(data.data(), 4096), 0u) << isa_name(kernels.isa);
    }
    EXPECT_NE(kernels.int8_multiply(3), 0u);
    EXPECT_NE(kernels.f32_multiply(3), 0u);
  });
}

TEST(MachineLimits, ArePositive) {
  ThreadPool pool(2);
  const MachineLimits limits = measure_machine_limits(pool, active_isa(), 0.05);
  EXPECT_GT(limits.read_gb_per_s, 0.01);
  EXPECT_GT(limits.int8_gmac_per_s, 0.001);
  EXPECT_GT(limits.f32_gflop_per_s, 0.001);
}

}  // namespace
}  // namespace paro
