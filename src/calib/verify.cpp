#include "calib/verify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "io/checkpoint.h"

namespace paro::calib {
namespace {

double log_sum_exp(const float* x, int64_t n) {
  const double max = *std::max_element(x, x + n);
  double total = 0.0;
  for (int64_t i = 0; i < n; ++i) total += std::exp(x[i] - max);
  return max + std::log(total);
}

}  // namespace

double divergence_of_logits(const float* p, const float* q, int64_t n) {
  const double p_total = log_sum_exp(p, n);
  const double q_total = log_sum_exp(q, n);
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(p[i] - p_total) * ((p[i] - p_total) - (q[i] - q_total));
  return sum;
}

double negative_log_likelihood(const float* logits, int64_t n, int32_t id) {
  return log_sum_exp(logits, n) - static_cast<double>(logits[id]);
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
  PARO_CHECK(logits.rows * logits.dim == std::ssize(expected));
  double sum = 0.0;
  for (int64_t row = 0; row < logits.rows; ++row)
    sum += divergence_of_logits(expected.data() + row * logits.dim, logits.f32() + row * logits.dim, logits.dim);
  PARO_CHECK(std::isfinite(sum));
  return sum / static_cast<double>(logits.rows);
}

}  // namespace paro::calib
