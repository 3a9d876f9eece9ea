// Products beside the machine's limits, all measured in the same run: GB/s of weights read (one row: the limit is
// limit_GB/s) and G multiply-adds/s (many rows: limit_GMAC/s). Weights go round a set larger than the last-level cache.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <memory>

#include "kernels/int4/test_weight.h"
#include "kernels/machine/machine_limits.h"
#include "kernels/rotate/test_rotation.h"
#include "kernels/test_variants.h"

namespace paro {
namespace {

constexpr int64_t kSetBytes = int64_t{128} << 20;

ThreadPool& pool() {
  static ThreadPool instance;
  return instance;
}

const MachineLimits& limits(Isa isa) {
  static MachineLimits cached[8];
  MachineLimits& value = cached[static_cast<int>(isa)];
  if (value.read_gb_per_s == 0.0) value = measure_machine_limits(pool(), isa, 2.0);
  return value;
}

void product(benchmark::State& state, const Int4Kernels& kernels, int64_t out, int64_t in, int64_t g, int64_t rows) {
  std::vector<PackedInt4> weights;
  weights.push_back(random_int4(out, in, g, 1));
  const int64_t copies = rows <= 8 ? kSetBytes / weights[0].bytes() + 1 : 2;
  for (int64_t i = 1; i < copies; ++i) weights.push_back(random_int4(out, in, g, 1));
  const RotateKernels& rotate = rotate_kernels(kernels.isa);
  const RotationTables tables = random_tables(in, g, 8, 2);
  Int8Buffer q(rows, rows == 1 ? 1 : kernels.lanes, in, g);
  const std::vector<float> x = random_floats(rows * in, 3);
  rotate.rotate_quantize(tables, {x.data(), tables.in}, q.view, 0, q.view.padded() / q.view.lanes, 0, in / g);
  std::vector<float> y(static_cast<size_t>(rows * out));
  const int64_t tiles = weights[0].tiles();
  const int64_t grain = rows == 1 ? 8 : 4;
  const int64_t ranges = (tiles + grain - 1) / grain;
  const int64_t chunks = (rows + 127) / 128;
  size_t next = 0;
  for (auto _ : state) {
    const PackedInt4& weight = weights[next++ % weights.size()];
    pool().parallel_for(ranges * chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / ranges * 128;
        const int64_t tile = item % ranges * grain;
        kernels.multiply(weight, q.view, row, std::min(row + 128, rows), tile, std::min(tile + grain, tiles), nullptr,
                         y.data());
      }
    });
    benchmark::DoNotOptimize(y.data());
  }
  const MachineLimits& limit = limits(kernels.isa);
  const auto per_second = [&](double amount) {
    return benchmark::Counter(amount * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["GB/s"] = per_second(static_cast<double>(weights[0].bytes()));
  state.counters["GMAC/s"] = per_second(static_cast<double>(rows * out * in));
  state.counters["limit_GB/s"] = limit.read_gb_per_s;
  state.counters["limit_GMAC/s"] = limit.int8_gmac_per_s;
}

void preparation(benchmark::State& state, const RotateKernels& kernels, int64_t in, int64_t g, int64_t rows) {
  const RotationTables tables = random_tables(in, g, 8, 2);
  Int8Buffer q(rows, rows == 1 ? 1 : kernels.lanes, in, g);
  const std::vector<float> x = random_floats(rows * in, 3);
  for (auto _ : state) {
    kernels.rotate_quantize(tables, {x.data(), tables.in}, q.view, 0, q.view.padded() / q.view.lanes, 0, in / g);
    benchmark::DoNotOptimize(q.q.data());
  }
  state.counters["ns/channel"] =
      benchmark::Counter(static_cast<double>(rows * in) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

const bool kRegistered = [] {
  for_each_variant(int4_variants(), [](const Int4Kernels& kernels) {
    if (kernels.isa == Isa::kReference) return;
    const std::string isa(isa_name(kernels.isa));
    for (int64_t g : {64, 128})
      for (int64_t rows : {1, 2, 4, 8, 64, 512})
        for (auto [out, in] : {std::pair<int64_t, int64_t>{2048, 2048}, {8192, 2048}, {2048, 8192}})
          benchmark::RegisterBenchmark(
              fmt::format("int4/{}/g{}/{}x{}/rows:{}", isa, g, out, in, rows).c_str(),
              [&kernels, g, rows, o = out, i = in](benchmark::State& s) { product(s, kernels, o, i, g, rows); })
              ->UseRealTime();
  });
  for_each_variant(rotate_variants(), [](const RotateKernels& kernels) {
    for (int64_t rows : {1, 8, 512})
      benchmark::RegisterBenchmark(
          fmt::format("rotate_quantize/{}/g128/2048/rows:{}", isa_name(kernels.isa), rows).c_str(),
          [&kernels, rows](benchmark::State& s) { preparation(s, kernels, 2048, 128, rows); });
  });
  return true;
}();

}  // namespace
}  // namespace paro
