#include "runtime/measure.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <utility>

#include "backends/cpu/weights.h"
#include "base/error.h"
#include "base/process_memory.h"
#include "base/progress.h"
#include "quant/cpu_linear.h"

namespace paro {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLimitSeconds = 0.25;
// A measurement's repeats where options leave them open.
constexpr double kRepeatSeconds = 2.0;
constexpr int64_t kMostRepeats = 20;

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

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

/// `wanted`, or those of `usual` that leave room; the others go to `left_out`.
std::vector<int64_t> sizes(const std::vector<int64_t>& wanted, std::span<const int64_t> usual, int64_t room,
                           std::vector<int64_t>& left_out) {
  if (!wanted.empty()) return wanted;
  std::vector<int64_t> chosen;
  for (const int64_t size : usual) (size <= room ? chosen : left_out).push_back(size);
  return chosen;
}

class Measurement {
 public:
  Measurement(const Engine& engine, const SpeedOptions& options) : engine_(engine), options_(options) {
    const int64_t context = engine.config().context_length();
    rows_ = sizes(options.prefill_rows, kPrefillSizes, context, report_.left_out_rows);
    contexts_ =
        sizes(options.decode_contexts, kDecodeContexts, context - options.decode_tokens, report_.left_out_contexts);
    for (const int64_t rows : rows_) positions_ = std::max(positions_, rows);
    for (const int64_t before : contexts_) positions_ = std::max(positions_, before + options.decode_tokens);
    if (positions_ > context) {
      fail_usage("bench: {} positions are asked for; the model's context holds {}", positions_, context);
    }
    sequence_ = std::make_unique<Sequence>(engine, positions_);
    ids_.resize(static_cast<size_t>(positions_));
    const auto vocab = static_cast<uint64_t>(engine.config().vocab_size);
    for (int32_t& id : ids_) id = static_cast<int32_t>(random_() % vocab);
  }

  SpeedReport run() {
    report_.cost = model_cost(engine_);
    Progress progress("measuring", static_cast<int64_t>(rows_.size() + contexts_.size()));
    MachineLimits before = limits();
    const auto measure = [&](std::vector<SpeedPoint>& points, int64_t size, bool is_prefill) {
      if (stopped()) return;
      SpeedPoint point = is_prefill ? prefill(size) : decode(size);
      if (stopped()) return;
      report_.memory.resident = process_memory().resident;
      const MachineLimits behind = limits();
      point.machine = better(before, behind);
      before = behind;
      point.share_of_limit = least_seconds(size, is_prefill, point.machine) / point.seconds;
      points.push_back(std::move(point));
      progress.advance(1);
    };
    for (const int64_t rows : rows_) measure(report_.prefill, rows, true);
    for (const int64_t context : contexts_) measure(report_.decode, context, false);
    report_.memory.peak = std::max(report_.memory.peak, process_memory().peak);
    report_.memory.weights = report_.cost.weight_bytes + report_.cost.embedding_bytes;
    report_.memory.kv = positions_ * report_.cost.kv_bytes;
    report_.memory.scratch = arena_bytes(engine_.ops());
    return report_;
  }

 private:
  bool stopped() {
    if (options_.cancel != nullptr && *options_.cancel) report_.cancelled = true;
    return report_.cancelled;
  }

  /// A shared machine's limits change within seconds, so each point has its own.
  MachineLimits limits() {
    report_.memory.peak = std::max(report_.memory.peak, process_memory().peak);
    const MachineLimits found = measure_machine_limits(thread_pool_of(engine_.ops()), active_isa(), kLimitSeconds);
    reset_peak_memory();
    report_.machine = better(report_.machine, found);
    return found;
  }

  std::span<const int32_t> ids(int64_t begin, int64_t count) const {
    return std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  }

  double timed_feed(int64_t begin, int64_t count) {
    const auto start = Clock::now();
    sequence_->feed(ids(begin, count));
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// Whether one more repeat is due, `done` of them having taken `spent` seconds.
  bool again(int64_t done, double spent) {
    if (stopped()) return false;
    if (options_.repeats > 0) return done < options_.repeats;
    return done == 0 || (done < kMostRepeats && spent < kRepeatSeconds);
  }

  SpeedPoint prefill(int64_t rows) {
    const auto once = [&] {
      sequence_->rewind(0);
      return timed_feed(0, rows);
    };
    // The first pass fills caches and the arena; where passes are long that is nothing, and it counts.
    std::vector<double> seconds;
    reset_profile(engine_.ops());
    const double first = once();
    if (options_.repeats == 0 && first > kRepeatSeconds / 2) {
      seconds.push_back(first);
    } else {
      reset_profile(engine_.ops());
    }
    for (double spent = sum(seconds); again(static_cast<int64_t>(seconds.size()), spent); spent += seconds.back())
      seconds.push_back(once());
    return summary(rows, rows, seconds);
  }

  SpeedPoint decode(int64_t context) {
    sequence_->rewind(std::min(context, sequence_->length()));
    while (sequence_->length() < context && !stopped()) append_random(context);
    for (int64_t i = 0; i < std::min<int64_t>(2, options_.decode_tokens) && !stopped(); ++i) timed_feed(context + i, 1);
    reset_profile(engine_.ops());
    std::vector<double> seconds;
    double spent = 0.0;
    for (int64_t repeat = 0; again(repeat, spent); ++repeat) {
      sequence_->rewind(context);
      for (int64_t i = 0; i < options_.decode_tokens && !stopped(); ++i) {
        seconds.push_back(timed_feed(context + i, 1));
        spent += seconds.back();
      }
    }
    return summary(context, 1, seconds);
  }

  /// Appends random keys and values, up to `context` positions: attention with a window of one position writes them
  /// and does next to nothing else.
  void append_random(int64_t context) {
    Ops& ops = engine_.ops();
    const ModelConfig& c = engine_.config();
    const OpsScope scope(ops);
    const int64_t start = sequence_->length();
    const int64_t rows = std::min(kPrefillRows, context - start);
    const Tensor q = ops.make(rows, c.heads * c.head_dim);
    const Tensor k = ops.make(rows, c.kv_heads * c.head_dim);
    const Tensor v = ops.make(rows, c.kv_heads * c.head_dim);
    for (const Tensor& tensor : {q, k, v}) {
      for (int64_t i = 0; i < tensor.rows * tensor.dim; ++i)
        tensor.f32()[i] = static_cast<float>(static_cast<int64_t>(random_())) * 0x1p-63f;
    }
    const Segment segment = {&sequence_->cache(), start, rows};
    for (int64_t layer = 0; layer < c.layers; ++layer) {
      const OpsScope layer_scope(ops);
      ops.attention(q, k, v,
                    {.layer = layer,
                     .heads = c.heads,
                     .kv_heads = c.kv_heads,
                     .head_dim = c.head_dim,
                     .scale = 1.0f,
                     .window = 1},
                    {ids(start, rows), {&segment, 1}});
    }
    sequence_->append_cached(ids(start, rows));
  }

  SpeedPoint summary(int64_t size, int64_t tokens, const std::vector<double>& seconds) {
    SpeedPoint point;
    point.size = size;
    if (seconds.empty()) return point;
    point.seconds = median(seconds);
    const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    point.least = *least;
    point.most = *most;
    point.measured = static_cast<int64_t>(seconds.size());
    point.tokens_per_second = static_cast<double>(tokens) / point.seconds;
    point.profile = profile_of(engine_.ops());
    if (!point.profile.empty()) point.profiled_seconds = sum(seconds);
    return point;
  }

  double least_seconds(int64_t size, bool is_prefill, const MachineLimits& machine) const {
    const ModelCost& cost = report_.cost;
    const double read_rate = machine.read_gb_per_s * 1e9;
    if (!is_prefill) {
      const double context = static_cast<double>(size) + static_cast<double>(options_.decode_tokens) / 2.0;
      return (static_cast<double>(cost.weight_bytes) + context * static_cast<double>(cost.kv_bytes)) / read_rate;
    }
    const double int8_rate = machine.int8_gmac_per_s * 1e9;
    const double f32_rate = machine.f32_gflop_per_s * 1e9 / 2.0;
    const auto rows = static_cast<double>(size);
    const double pairs = rows * (rows + 1.0) / 2.0;
    const double arithmetic =
        rows * static_cast<double>(cost.packed_macs) / int8_rate +
        (rows * static_cast<double>(cost.dense_macs) + pairs * static_cast<double>(cost.attention_macs)) / f32_rate +
        static_cast<double>(cost.head_macs) / (cost.head_packed ? int8_rate : f32_rate);
    // Few rows are bound by reading the weights.
    return std::max(arithmetic, static_cast<double>(cost.weight_bytes) / read_rate);
  }

  const Engine& engine_;
  const SpeedOptions& options_;
  std::mt19937_64 random_{1};
  std::vector<int64_t> rows_;
  std::vector<int64_t> contexts_;
  int64_t positions_ = 1;  // the most in the cache
  std::unique_ptr<Sequence> sequence_;
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
  const auto* table = dynamic_cast<const CpuEmbedding*>(engine.model().embedding.get());
  PARO_CHECK(table != nullptr);
  cost.embedding_bytes = table->vocab * table->row_bytes();
  // A tied head that is as the file has it is the table.
  if (c.tied_embeddings && cost.embedding_bytes == head.weight_bytes()) cost.embedding_bytes = 0;
  cost.kv_bytes = kv_bytes_per_position(c, engine.kv_bits());
  cost.attention_macs = c.layers * 2 * c.heads * c.head_dim;
  return cost;
}

double share_of_limit(const OpWork& work, const MachineLimits& machine, double seconds) {
  const double reading = static_cast<double>(work.bytes) / (machine.read_gb_per_s * 1e9);
  const double arithmetic = static_cast<double>(work.int8_macs) / (machine.int8_gmac_per_s * 1e9) +
                            static_cast<double>(work.f32_macs) / (machine.f32_gflop_per_s * 1e9 / 2.0);
  return seconds > 0.0 ? std::max(reading, arithmetic) / seconds : 0.0;
}

SpeedReport measure_speed(const Engine& engine, const SpeedOptions& options) {
  return Measurement(engine, options).run();
}

}  // namespace paro
