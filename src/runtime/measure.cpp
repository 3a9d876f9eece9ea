#include "runtime/measure.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <span>

#include "base/error.h"
#include "base/progress.h"
#include "quant/cpu_linear.h"

namespace paro {
namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  PARO_CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

MachineLimits better(const MachineLimits& a, const MachineLimits& b) {
  return {std::max(a.read_gb_per_s, b.read_gb_per_s), std::max(a.int8_gmac_per_s, b.int8_gmac_per_s),
          std::max(a.f32_gflop_per_s, b.f32_gflop_per_s)};
}

/// Quantized linears read about half a byte a weight or less than two; dense ones two or four.
bool is_packed(const CpuLinear& linear) { return linear.weight_bytes() < linear.in * linear.out * 3 / 2; }

class Measurement {
 public:
  Measurement(const Engine& engine, const SpeedOptions& options)
      : engine_(engine), options_(options), sequence_(engine, needed(engine, options)) {
    std::mt19937_64 random(1);
    ids_.resize(static_cast<size_t>(sequence_.capacity()));
    const auto vocab = static_cast<uint64_t>(engine.config().vocab_size);
    for (int32_t& id : ids_) id = static_cast<int32_t>(random() % vocab);
  }

  SpeedReport run() {
    report_.cost = model_cost(engine_);
    ThreadPool& pool = thread_pool_of(engine_.ops());
    report_.machine = measure_machine_limits(pool, active_isa(), 0.7);
    const auto steps = static_cast<int64_t>(options_.prefill_rows.size() + options_.decode_contexts.size());
    Progress progress("measuring", steps);
    const int64_t most = options_.prefill_rows.empty()
                             ? 0
                             : *std::max_element(options_.prefill_rows.begin(), options_.prefill_rows.end());
    for (const int64_t rows : options_.prefill_rows) {
      if (stopped()) return report_;
      reset_profile(engine_.ops());
      prefill(rows);
      if (rows == most) report_.prefill_profile = profile_of(engine_.ops());
      progress.advance(1);
    }
    for (const int64_t context : options_.decode_contexts) {
      if (stopped()) return report_;
      decode(context);
      progress.advance(1);
    }
    report_.machine = better(report_.machine, measure_machine_limits(pool, active_isa(), 0.7));
    add_shares();
    return report_;
  }

 private:
  static int64_t needed(const Engine& engine, const SpeedOptions& options) {
    int64_t most = 1;
    for (const int64_t rows : options.prefill_rows) most = std::max(most, rows);
    for (const int64_t context : options.decode_contexts) most = std::max(most, context + options.decode_tokens);
    if (most > engine.config().context_length()) {
      fail_usage("bench: {} positions are asked for; the model's context holds {}", most,
                 engine.config().context_length());
    }
    return most;
  }

  bool stopped() {
    if (options_.cancel != nullptr && *options_.cancel) report_.cancelled = true;
    return report_.cancelled;
  }

  std::span<const int32_t> ids(int64_t begin, int64_t count) const {
    return std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  }

  void prefill(int64_t rows) {
    std::vector<double> seconds;
    for (int64_t i = 0; i <= options_.repeats && !stopped(); ++i) {
      sequence_.rewind(0);
      const auto start = Clock::now();
      sequence_.feed(ids(0, rows));
      // The first pass fills caches and the arena.
      if (i > 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    if (seconds.empty()) return;
    const double time = median(seconds);
    report_.prefill.push_back({rows, time, static_cast<double>(rows) / time, 0.0});
  }

  void decode(int64_t context) {
    const int64_t kept = std::min(context, sequence_.length());
    sequence_.rewind(kept);
    if (context > kept) sequence_.feed(ids(kept, context - kept));
    std::vector<double> seconds;
    for (int64_t repeat = 0; repeat <= options_.repeats; ++repeat) {
      sequence_.rewind(context);
      if (repeat == 1) reset_profile(engine_.ops());
      for (int64_t i = 0; i < options_.decode_tokens && !stopped(); ++i) {
        const auto start = Clock::now();
        sequence_.feed(ids(context + i, 1));
        if (repeat > 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
      }
    }
    if (seconds.empty()) return;
    if (report_.decode.empty()) report_.decode_profile = profile_of(engine_.ops());
    const double time = median(seconds);
    report_.decode.push_back({context, time, 1.0 / time, 0.0});
  }

  void add_shares() {
    const ModelCost& cost = report_.cost;
    const double int8_rate = report_.machine.int8_gmac_per_s * 1e9;
    const double f32_rate = report_.machine.f32_gflop_per_s * 1e9 / 2.0;
    for (SpeedPoint& point : report_.prefill) {
      const auto rows = static_cast<double>(point.size);
      const double pairs = rows * (rows + 1.0) / 2.0;
      double least =
          rows * static_cast<double>(cost.packed_macs) / int8_rate +
          (rows * static_cast<double>(cost.dense_macs) + pairs * static_cast<double>(cost.attention_macs)) / f32_rate;
      least += static_cast<double>(cost.head_macs) / (cost.head_packed ? int8_rate : f32_rate);
      // Few rows are bound by reading the weights.
      least = std::max(least, static_cast<double>(cost.weight_bytes) / (report_.machine.read_gb_per_s * 1e9));
      point.share_of_limit = least / point.seconds;
    }
    for (SpeedPoint& point : report_.decode) {
      const double context = static_cast<double>(point.size) + static_cast<double>(options_.decode_tokens) / 2.0;
      const double bytes = static_cast<double>(cost.weight_bytes) + context * static_cast<double>(cost.kv_bytes);
      point.share_of_limit = bytes / (report_.machine.read_gb_per_s * 1e9) / point.seconds;
    }
  }

  const Engine& engine_;
  const SpeedOptions& options_;
  Sequence sequence_;
  std::vector<int32_t> ids_;
  SpeedReport report_;
};

}  // namespace

ModelCost model_cost(const Engine& engine) {
  const ModelConfig& c = engine.config();
  ModelCost cost;
  const auto cpu = [](const Linear& linear) -> const CpuLinear& {
    const auto* found = dynamic_cast<const CpuLinear*>(&linear);
    PARO_CHECK(found != nullptr);
    return *found;
  };
  for (const auto& layer : engine.model().layers) {
    for (const LinearSlot& slot : layer->linear_slots()) {
      const CpuLinear& linear = cpu(**slot.weight);
      cost.weight_bytes += linear.weight_bytes();
      (is_packed(linear) ? cost.packed_macs : cost.dense_macs) += linear.in * linear.out;
    }
  }
  const CpuLinear& head = cpu(*engine.model().head);
  cost.weight_bytes += head.weight_bytes();
  cost.head_macs = head.in * head.out;
  cost.head_packed = is_packed(head);
  cost.kv_bytes = kv_bytes_per_position(c, engine.kv_bits());
  cost.attention_macs = c.layers * 2 * c.heads * c.head_dim;
  return cost;
}

SpeedReport measure_speed(const Engine& engine, const SpeedOptions& options) {
  return Measurement(engine, options).run();
}

}  // namespace paro
