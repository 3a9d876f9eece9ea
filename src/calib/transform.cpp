#include "calib/transform.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <optional>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/cpu_device.h"
#include "calib/layer_blocks.h"
#include "calib/merged_fit.h"
#include "calib/merged_moments.h"
#include "calib/merged_weights.h"
#include "calib/numeric/rotation_descent.h"
#include "calib/outline.h"
#include "calib/verify.h"

namespace paro::calib {
namespace {

// Second moments of so many tokens decide nothing that more would change (docs/benchmarks.md).
constexpr int64_t kMomentTokens = 4096;
constexpr int64_t kCheckedTokens = 64;
constexpr const char* kRotationsFile = "rotations.safetensors";
constexpr const char* kReportFile = "transform.json";
// What remains is f32 rounding, that of embedding and head to F16, and that of other values in an F16 cache.
constexpr double kMaxOrthogonalityError = 1e-9;
constexpr double kMaxMergeDivergence = 1e-3;

void warn_about(const SourceModel& source, const MergePlan& plan) {
  const char* const what = !plan.residual && !plan.values ? "the residual stream or the values of attention"
                           : !plan.residual               ? "the residual stream"
                                                          : "the values of attention";
  if (!plan.residual || !plan.values)
    log_warning(
        "{}: rotations of {} cannot be merged into layers of the family \"{}\"; inputs there are rotated online",
        source.checkpoint.name, what, source.config.family);
}

/// Logits [tokens, vocab] of a full-precision model, layer by layer.
std::vector<float> logits_of(const SourceModel& source, const std::vector<int32_t>& ids, Device& device) {
  WeightFactory& factory = device.factory();
  const WeightSource& weights = *source.checkpoint.weights;
  const auto ends = load_model_ends(source.config, weights, factory);
  Streams stream(source.config, ids, std::ssize(ids), false, device);
  stream.embed(*ends);
  for (int64_t layer = 0; layer < source.config.layers; ++layer) {
    const auto loaded = load_layer(source.config, layer, *ends->rope, weights, factory);
    stream.for_each([&](const Streams::Part& part) { loaded->forward(device.ops(), part.quantized, part.batch); });
  }
  return stream_logits(*ends, device, stream, 0, std::ssize(ids));
}

void check_merge(const SourceModel& source, const SourceModel& merged, std::vector<int32_t> ids, Device& device) {
  ids.resize(std::min<size_t>(ids.size(), kCheckedTokens));
  const double kl = mean_divergence(logits_of(source, ids, device), logits_of(merged, ids, device), std::ssize(ids));
  log_debug("merged model against the source: mean KL {:.1e}", kl);
  if (!(kl < kMaxMergeDivergence))
    throw Error(ErrorKind::kDefect, fmt::format("{}: the logits with merged rotations differ from the model's: mean KL "
                                                "{:.2e}, expected under {:.0e}; --transform online merges nothing",
                                                source.checkpoint.name, kl, kMaxMergeDivergence));
}

/// Merged weights are computed whenever they are asked for, by the threads of `device`.
struct WithDevice {
  std::shared_ptr<Device> device;
  MergedWeights weights;
};

struct Learned {
  MergedRotations rotations;
  Json report;
};

std::vector<TensorToWrite> tensors_of(const MergedRotations& rotations) {
  std::vector<TensorToWrite> tensors;
  const auto add = [&](std::string name, const SquareMatrix& matrix) {
    tensors.push_back({std::move(name), DType::kF64, {matrix.n, matrix.n}, [&matrix](const auto& sink) {
                         sink(matrix.data.data(), matrix.data.size() * sizeof(double));
                       }});
  };
  if (rotations.residual.n > 0) add("residual", rotations.residual);
  for (size_t layer = 0; layer < rotations.values.size(); ++layer)
    for (size_t head = 0; head < rotations.values[layer].size(); ++head)
      add(fmt::format("values.{}.{}", layer, head), rotations.values[layer][head]);
  return tensors;
}

/// The report is written last: with it, the learning is finished.
void save(const WorkFolder& work, const Learned& learned) {
  write_safetensors(work.file(kRotationsFile), tensors_of(learned.rotations));
  write_file(work.file(kReportFile), dump_json(learned.report, 2));
}

std::optional<Learned> load_saved(const WorkFolder& work, const ModelConfig& config, const MergePlan& plan,
                                  ThreadPool& pool) {
  if (!std::filesystem::exists(work.file(kReportFile))) return std::nullopt;
  const auto file = SafetensorsFile::open(work.file(kRotationsFile));
  const auto matrix = [&](const std::string& name, int64_t n) {
    const TensorInfo& info = file->require(name, {n, n});
    if (info.dtype != DType::kF64)
      fail_input("{}: tensor \"{}\": expected type F64, found {}", file->place(name), name, dtype_name(info.dtype));
    SquareMatrix result(n);
    std::memcpy(result.data.data(), file->load(name).view.data, result.data.size() * sizeof(double));
    if (const double error = orthogonality_error(result, pool); !(error < kMaxOrthogonalityError))
      fail_input("{}: tensor \"{}\": expected an orthogonal matrix, found one off by {}; remove {} to learn it again",
                 file->place(name), name, error, work.file(kReportFile).string());
    return result;
  };
  Learned learned;
  learned.report = read_json(work.file(kReportFile));
  if (plan.residual) learned.rotations.residual = matrix("residual", config.dim);
  for (int64_t layer = 0; plan.values && layer < config.layers; ++layer) {
    learned.rotations.values.emplace_back();
    for (int64_t head = 0; head < config.kv_heads; ++head)
      learned.rotations.values.back().push_back(matrix(fmt::format("values.{}.{}", layer, head), config.head_dim));
  }
  return learned;
}

Learned learn(const QuantizeOptions& options, const SourceModel& source, const MergePlan& plan,
              std::vector<int32_t> ids, int64_t seq_len, const std::function<bool(const std::string&)>& skipped,
              const WorkFolder& work, Device& device) {
  ThreadPool& pool = thread_pool_of(device.ops());
  const auto start = std::chrono::steady_clock::now();
  ids.resize(static_cast<size_t>(transform_windows(std::ssize(ids) / seq_len, seq_len) * seq_len));
  // Norms folded, nothing turned: what the rotations are learned on.
  const MergedWeights plain(source.checkpoint.weights, source.config, plan, {}, pool);
  ModelConfig config = source.config;
  config.tied_embeddings = config.tied_embeddings && !plan.residual;
  const auto ends = load_model_ends(config, plain, device.factory());
  Streams streams(config, std::move(ids), seq_len, false, device);
  streams.embed(*ends);
  const MergedMoments moments(config, plain, plan, *ends->rope, device.ops(), streams, work.file(""), options.cancel);
  const auto measured = std::chrono::steady_clock::now();
  MergedFit fit = fit_merged_rotations(options, source.config, plan, source.checkpoint.weights, plain, *ends->rope,
                                       moments, skipped, pool);
  const auto seconds = [](auto from, auto to) { return std::chrono::duration<double>(to - from).count(); };
  Learned learned;
  learned.report = {{"tokens", streams.rows()},
                    {"moment_seconds", seconds(start, measured)},
                    {"fit_seconds", seconds(measured, std::chrono::steady_clock::now())}};
  if (plan.residual) learned.report["residual_loss"] = fit.residual_loss;
  if (plan.values) learned.report["values_loss"] = fit.values_loss;
  learned.rotations = std::move(fit.rotations);
  log_info("merged rotations: expected rounding error {:.3f} of that without (residual stream), {:.3f} (values)",
           fit.residual_loss, fit.values_loss);
  return learned;
}

}  // namespace

std::vector<bool> online_sets(Transform transform, const MergePlan& plan, const std::vector<LinearSlot>& slots) {
  // Behind the SwiGLU nothing can be merged.
  constexpr int kLastSet = std::end(kLayerBlocks)[-1].first_set + 1;
  std::vector<bool> online;
  for (const LinearSlot& slot : slots) {
    const auto set = static_cast<size_t>(slot.set);
    online.resize(std::max(online.size(), set + 1), false);
    if (transform == Transform::kOnline) {
      online[set] = true;
      continue;
    }
    const bool merged = (plan.residual && plan.reads_residual(slot.name)) || (plan.values && plan.is_output(slot.name));
    if (!merged && (transform == Transform::kHybrid || slot.set != kLastSet)) online[set] = true;
  }
  return online;
}

int64_t transform_windows(int64_t windows, int64_t seq_len) {
  return std::min(windows, (kMomentTokens + seq_len - 1) / seq_len);
}

std::vector<std::string> transform_files() { return {kRotationsFile, kReportFile}; }

TransformedModel apply_transform(const QuantizeOptions& options, const SourceModel& source,
                                 const std::vector<int32_t>& ids, int64_t seq_len,
                                 const std::function<bool(const std::string&)>& skipped, const WorkFolder& work) {
  OutlineFactory outline;
  const Rope rope(source.config.rope, source.config.head_dim, source.config.max_positions);
  std::vector<RotationPoints> points;
  std::vector<LinearSlot> slots;
  for (int64_t i = 0; i < source.config.layers; ++i) {
    const auto layer = load_layer(source.config, i, rope, *source.checkpoint.weights, outline);
    for (LinearSlot& slot : layer->linear_slots()) slots.push_back({slot.name, slot.set, nullptr});
    points.push_back(layer->rotation_points());
  }
  const MergePlan plan = MergePlan::of(std::move(points));
  TransformedModel result;
  result.model = source;
  result.online = online_sets(options.transform, plan, slots);
  if (options.transform == Transform::kOnline) return result;
  warn_about(source, plan);
  if (!plan.residual && !plan.values) return result;

  // Thousands of tokens and small matrices: the processor serves whatever device quantizes.
  const std::shared_ptr<Device> device = make_cpu_device(options.threads);
  ThreadPool& pool = thread_pool_of(device->ops());
  std::optional<Learned> learned = load_saved(work, source.config, plan, pool);
  if (!learned) {
    learned = learn(options, source, plan, ids, seq_len, skipped, work, *device);
    save(work, *learned);
  }
  const auto kept = std::make_shared<WithDevice>(
      WithDevice{device, MergedWeights(source.checkpoint.weights, source.config, plan, learned->rotations, pool)});
  result.model.checkpoint.weights = std::shared_ptr<const WeightSource>(kept, &kept->weights);
  if (plan.residual) {
    result.model.config.tied_embeddings = false;
    result.model.checkpoint.config["tie_word_embeddings"] = false;
  }
  result.report = learned->report;
  check_merge(source, result.model, ids, *device);
  return result;
}

}  // namespace paro::calib
