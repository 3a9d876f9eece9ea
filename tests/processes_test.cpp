// Several processes that quantize one model: threads in their place, and real ones where MPI was built.
#include "calib/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "calib/cpu_device.h"
#include "calib/thread_processes.h"
#include "quantize_fixture.h"

namespace paro::calib {
namespace {

class ProcessesTest : public QuantizeTest {
 protected:
  /// Process 0's report.
  static Json quantize_with(int size, const QuantizeOptions& o) {
    Json report;
    run_processes(size, [&](Processes& processes) {
      const auto device = make_cpu_device(1);
      Json mine = quantize(o, *device, processes);
      if (processes.rank() == 0)
        report = std::move(mine);
      else
        EXPECT_TRUE(mine.is_null());
    });
    return report;
  }
  QuantizeOptions single_threaded(const std::string& output) const {
    QuantizeOptions o = options(output);
    o.threads = 1;
    return o;
  }
};

TEST_F(ProcessesTest, TogetherTheyReachTheQualityOfOne) {
  quantize(single_threaded("one"));
  const double alone = divergence("one");
  for (const int size : {2, 3}) {
    const std::string name = std::to_string(size);
    const Json report = quantize_with(size, single_threaded(name));
    EXPECT_LT(report["verify_kl"].get<double>(), 1e-3);
    EXPECT_EQ(report["layers"].size(), 3u);
    // The rounding of single codes differs.
    EXPECT_NEAR(divergence(name), alone, 0.2 * alone) << size;
  }
}

TEST_F(ProcessesTest, TransformsAndSecondOrderRoundingAreDivided) {
  for (const Transform transform : {Transform::kHybrid, Transform::kMerged}) {
    QuantizeOptions o = single_threaded(transform == Transform::kHybrid ? "hybrid" : "merged");
    o.transform = transform;
    EXPECT_LT(quantize_with(2, o)["verify_kl"].get<double>(), 1e-3);
  }
  QuantizeOptions o = options("gptq", Method::kGptq);
  o.act_order = true;
  o.format = "gptq";
  EXPECT_LT(quantize_with(2, o)["verify_kl"].get<double>(), 1e-3);
}

TEST_F(ProcessesTest, AnInterruptedRunIsResumedToTheSameBytes) {
  QuantizeOptions o = single_threaded("whole");
  o.transform = Transform::kHybrid;
  quantize_with(2, o);
  std::atomic<bool> cancel = false;
  o.output = folder_ / "resumed";
  o.cancel = &cancel;
  std::thread interrupt([&] {
    while (!std::filesystem::exists(o.output / ".paro-work/layer-00000.json")) std::this_thread::yield();
    cancel = true;
  });
  try {
    quantize_with(2, o);
    ADD_FAILURE() << "expected to be interrupted";
  } catch (const Cancelled&) {
  } catch (const ThreadProcesses::Left&) {
  }
  interrupt.join();
  o.cancel = nullptr;
  o.resume = true;
  quantize_with(2, o);
  EXPECT_EQ(bytes("resumed/model.safetensors"), bytes("whole/model.safetensors"));
}

TEST_F(ProcessesTest, WhatCannotBeDividedIsAnError) {
  const auto message = [&](int size, const QuantizeOptions& o) -> std::string {
    try {
      quantize_with(size, o);
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  };
  QuantizeOptions few = single_threaded("few");
  few.samples = 2;
  EXPECT_THAT(message(3, few), testing::HasSubstr("3 processes"));
  EXPECT_THAT(message(3, few), testing::HasSubstr("--samples"));
  for (const Method method : {Method::kAwq, Method::kRtn})
    EXPECT_THAT(message(2, options("alone", method)), testing::HasSubstr("runs in one process"));
  QuantizeOptions tuned = options("alone");
  tuned.tuning.epochs = 1;
  EXPECT_THAT(message(2, tuned), testing::HasSubstr("--tune-epochs): runs in one process"));
}

#ifdef PARO_MPI
TEST_F(ProcessesTest, RealOnesWriteTheSameBytes) {
  quantize_with(2, single_threaded("threads"));
  const std::string command = "mpirun --allow-run-as-root --oversubscribe -np 2 " PARO_BINARY " quantize " +
                              (folder_ / "source").string() + " -o " + (folder_ / "mpi").string() +
                              " --transform online --rotations 4 --group-size 32 --calibration " +
                              (folder_ / "text.txt").string() + " --samples 8 --seq-len 64 --threads 1 --quiet > " +
                              (folder_ / "log").string() + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << bytes("log");
  EXPECT_EQ(bytes("mpi/model.safetensors"), bytes("threads/model.safetensors"));
}

TEST_F(ProcessesTest, AnErrorInOneEndsAll) {
  const std::string command = "timeout 60 mpirun --allow-run-as-root --oversubscribe -np 2 " PARO_BINARY " quantize " +
                              (folder_ / "source").string() + " -o " + (folder_ / "mpi").string() +
                              " --group-size 32 --seq-len 64 --calibration /nowhere > " + (folder_ / "log").string() +
                              " 2>&1";
  const int status = std::system(command.c_str());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 124) << status;
  EXPECT_THAT(bytes("log"), testing::HasSubstr("/nowhere"));
}
#endif

}  // namespace
}  // namespace paro::calib
