#include "calib/set_meter.h"

#include <algorithm>
#include <optional>

#include "calib/numeric/arrange.h"
#include "calib/numeric/rotate.h"
#include "calib/numeric/rounding.h"

namespace paro::calib {
namespace {

// Losses that only the report needs are estimated from so many outputs: an exact one costs a product of all with H.
constexpr int64_t kSampledRows = 64;

int64_t sampled_rows(const WeightMatrix& w) { return std::min(w.out, kSampledRows); }

std::vector<double> diagonal(const SquareMatrix& h) {
  std::vector<double> result;
  for (int64_t i = 0; i < h.n; ++i) result.push_back(h.row(i)[i]);
  return result;
}

std::vector<float> as_f32(const SquareMatrix& h) { return {h.data.begin(), h.data.end()}; }

}  // namespace

SetMeter::SetMeter(const Device& device, const QuantizeOptions& options, std::vector<const WeightMatrix*> weights,
                   std::vector<int64_t> bits)
    : measures(weights.size()),
      options_(options),
      host_(device.host_matrices()),
      kernels_(kernels_for(active_isa())),
      weights_(std::move(weights)),
      bits_(std::move(bits)),
      detailed_(options.report && host_ != nullptr) {}

std::vector<float> SetMeter::sampled(const WeightMatrix& w) const {
  const std::vector<float>& values = host_->values(w);
  const int64_t rows = sampled_rows(w);
  std::vector<float> result(static_cast<size_t>(w.in * rows));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < w.in; ++i)
      result[static_cast<size_t>(i * rows + r)] = values[static_cast<size_t>(r * w.out / rows * w.in + i)];
  return result;
}

double SetMeter::sampled_loss(size_t i, const std::vector<float>& w, const std::vector<float>& target,
                              const std::vector<float>& h) const {
  const int64_t in = weights_.front()->in;
  const int64_t rows = static_cast<int64_t>(w.size()) / in;
  RoundOptions options;
  options.group_size = options_.group_size;
  options.levels = QuantizeOptions::levels(bits_[i]);
  options.clip = false;
  const Rounded rounded = round_to_nearest(w, rows, options, kernels_, host_->pool());
  return rounded_loss(rounded, target, rows, {}, h, options.group_size, host_->pool());
}

void SetMeter::given() {
  if (!detailed_) return;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const WeightMatrix& w = *weights_[i];
    const std::vector<float> values = transposed(host_->values(w), w.out, host_->pool());
    measures[i].given = measure_groups(values, w.out, options_.group_size, host_->pool());
    samples_.push_back(sampled(w));
  }
}

void SetMeter::corrected(const SecondMoment* h, std::span<const double> nearest_losses) {
  std::vector<float> moment;
  if (detailed_ && h != nullptr) moment = as_f32(host_->values(*h));
  for (size_t i = 0; i < weights_.size(); ++i) {
    const WeightMatrix& w = *weights_[i];
    if (host_ != nullptr) measures[i].equal_groups = count_equal_groups(host_->values(w), options_.group_size);
    if (h != nullptr) {
      measures[i].corrected = nearest_losses[i];
      measures[i].input_before = measure_channels(h->diagonal, options_.group_size);
    }
    if (!detailed_) continue;
    measures[i].before =
        measure_groups(transposed(host_->values(w), w.out, host_->pool()), w.out, options_.group_size, host_->pool());
    if (h == nullptr) continue;
    const std::vector<float> sample = sampled(w);
    sampled_losses_.push_back(sampled_loss(i, sample, sample, moment));
    const bool changed = sample != samples_[i];
    measures[i].start = measures[i].corrected;
    if (changed && sampled_losses_[i] > 0.0)
      *measures[i].start *= sampled_loss(i, samples_[i], sample, moment) / sampled_losses_[i];
  }
}

void SetMeter::written(size_t i, const SecondMoment* h, const Paro4Weight& weight, double loss, double energy) {
  LinearMeasures& m = measures[i];
  m.rounded = loss;
  m.energy = energy;
  m.add_written(weight, QuantizeOptions::levels(bits_[i]));
  if (!detailed_) return;
  const WeightMatrix& w = *weights_[i];
  ThreadPool& pool = host_->pool();
  const auto in_basis = [&](std::vector<float> values, int64_t rows) {
    if (!weight.order.empty()) return reordered(values, rows, weight.order);
    rotate_transposed(*weight.rotation, values.data(), rows, pool);
    return values;
  };
  const std::vector<float> target = in_basis(transposed(host_->values(w), w.out, pool), w.out);
  m.after = measure_groups(target, w.out, options_.group_size, pool);
  m.add_clipped(weight, target, QuantizeOptions::levels(bits_[i]), pool);
  if (h == nullptr) return;
  const SquareMatrix& moment = host_->values(*h);
  std::optional<SquareMatrix> arranged;
  if (!weight.order.empty()) arranged = reordered(moment, weight.order);
  const SquareMatrix& basis = arranged ? *arranged : moment;
  m.input_after = measure_channels(diagonal(basis), options_.group_size);
  m.rotated = m.corrected;
  if (sampled_losses_[i] > 0.0) {
    const std::vector<float> sample = in_basis(sampled(w), sampled_rows(w));
    *m.rotated *= sampled_loss(i, sample, sample, as_f32(basis)) / sampled_losses_[i];
  }
}

}  // namespace paro::calib
