// Tests of what runs on an NVIDIA GPU skip themselves where there is none.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "backends/cuda/context.h"

namespace paro {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_devices() == 0)
      GTEST_SKIP() << "no NVIDIA GPU here (tools/gpu_tests.sh runs these tests on a machine with one)";
    context_ = std::make_unique<CudaContext>(0);
  }
  const CudaContext& context() const { return *context_; }

 private:
  std::unique_ptr<CudaContext> context_;
};

}  // namespace paro
