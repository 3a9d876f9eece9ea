#include "calib/verify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "io/checkpoint.h"

namespace paro::calib {

LogitsDivergence compare_logits(const float* p, const float* q, int64_t n) {
  const double p_max = *std::max_element(p, p + n);
  const double q_max = *std::max_element(q, q + n);
  double p_total = 0.0;
  double q_total = 0.0;
  double gap = 0.0;  // of the logits, weighted by p
  for (int64_t i = 0; i < n; ++i) {
    const double share = std::exp(p[i] - p_max);
    p_total += share;
    q_total += std::exp(q[i] - q_max);
    gap += share * (static_cast<double>(p[i]) - static_cast<double>(q[i]));
  }
  LogitsDivergence result{0.0, p_max + std::log(p_total), q_max + std::log(q_total)};
  result.kl = gap / p_total - result.p_log_total + result.q_log_total;
  return result;
}

std::vector<float> stream_logits(const Model& ends, Device& device, const Streams& streams, int64_t window,
                                 int64_t tokens) {
  std::vector<int64_t> rows(static_cast<size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  const OpsScope scope(device.ops());
  const Tensor logits = ends.logits(device.ops(), streams.quantized(window), rows);
  return device.to_host(logits.f32(), logits.rows * logits.dim);
}

double mean_divergence(std::span<const float> expected, std::span<const float> found, int64_t rows) {
  PARO_CHECK(rows > 0 && expected.size() == found.size() && std::ssize(found) % rows == 0);
  const int64_t vocab = std::ssize(found) / rows;
  double sum = 0.0;
  for (int64_t row = 0; row < rows; ++row)
    sum += compare_logits(expected.data() + row * vocab, found.data() + row * vocab, vocab).kl;
  PARO_CHECK(std::isfinite(sum));
  return sum / static_cast<double>(rows);
}

double divergence_of_checkpoint(const std::filesystem::path& folder, const ModelConfig& config,
                                const std::vector<int32_t>& ids, const std::vector<float>& expected,
                                Activations activations, int threads) {
  const Checkpoint checkpoint = open_checkpoint_folder(folder, {.config = true, .weights = true, .tokenizer = false});
  const ModelConfig written = parse_model_config(checkpoint.config, checkpoint.config_place());
  const auto factory = make_cpu_weight_factory(written.quantization);
  const auto model = Model::load(written, *checkpoint.weights, *factory);
  const auto ops = make_cpu_ops({.threads = threads, .activations = activations});
  const auto cache = make_cpu_cache(config, std::ssize(ids));
  const Segment segments[] = {{cache.get(), 0, std::ssize(ids)}};
  std::vector<int64_t> rows(ids.size());
  std::iota(rows.begin(), rows.end(), 0);
  const OpsScope scope(*ops);
  const Tensor logits = model->forward(*ops, {ids, segments}, rows);
  return mean_divergence(expected, {logits.f32(), static_cast<size_t>(logits.rows * logits.dim)}, logits.rows);
}

}  // namespace paro::calib
