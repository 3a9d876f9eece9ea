#include "calib/numeric/rotation_fit.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace paro::calib {
namespace {

/// Everything one group's fit works on, made once and used for all steps.
class GroupFit {
 public:
  GroupFit(const FitProblem& problem, const PairRounds& pairs, int64_t group, const FitOptions& options)
      : options_(options),
        g_(pairs.group_size),
        rounds_(pairs.used_rounds),
        rows_((problem.out + kTileRows - 1) / kTileRows * kTileRows),
        pairs_(pairs.pairs.data() + group * pairs.group_size),
        pair_stride_(pairs.in),
        scale_(problem.group_energy[static_cast<size_t>(group)] / 12.0),
        transposed_(static_cast<size_t>(g_ * rows_)),
        weights_(static_cast<size_t>(g_ * rows_)),
        row_weight_(static_cast<size_t>(rows_)),
        theta_(static_cast<size_t>(rounds_ * g_ / 2)),
        cosine_(theta_.size(), 1.0f),
        sine_(theta_.size()),
        slope_(theta_.size()),
        first_(theta_.size()),
        second_(theta_.size()),
        scratch_(static_cast<size_t>(g_ * g_)),
        gradient_(static_cast<size_t>(g_ * g_)) {
    for (int64_t o = 0; o < problem.out; ++o) {
      row_weight_[static_cast<size_t>(o)] = problem.row_weight[static_cast<size_t>(o)];
      const float* from = problem.weight + o * pairs.in + group * g_;
      std::copy(from, from + g_, weights_.begin() + o * g_);
      for (int64_t c = 0; c < g_; ++c) transposed_[static_cast<size_t>(c * rows_ + o)] = from[c];
    }
    for (int64_t k = 0; !pairs.turning.empty() && k < rounds_; ++k)
      for (int64_t t = 0; t < g_ / 2; ++t)
        turning_.push_back(pairs.turning[static_cast<size_t>((k * pairs.in + group * g_) / 2 + t)]);
  }

  /// The loss at the present angles; gradient_ is d loss / d R afterwards, without the factor scale_.
  double evaluate(const Kernels& kernels) {
    for (size_t i = 0; i < theta_.size(); ++i) {
      cosine_[i] = std::cos(theta_[i]);
      sine_[i] = std::sin(theta_[i]);
    }
    return scale_ * kernels.fit_group(group(), static_cast<float>(options_.levels), gradient_.data());
  }

  void step(int64_t index, const Kernels& kernels) {
    kernels.angle_gradient(group(), gradient_.data(), scratch_.data(), slope_.data());
    const double done = static_cast<double>(index) / static_cast<double>(options_.steps);
    const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
    const double rate = options_.learning_rate * (options_.final_rate + (1.0 - options_.final_rate) * cosine);
    power1_ *= options_.beta1;
    power2_ *= options_.beta2;
    for (size_t i = 0; i < theta_.size(); ++i) {
      if (!turning_.empty() && !turning_[i]) continue;
      const double slope = scale_ * static_cast<double>(slope_[i]);
      first_[i] = options_.beta1 * first_[i] + (1.0 - options_.beta1) * slope;
      second_[i] = options_.beta2 * second_[i] + (1.0 - options_.beta2) * slope * slope;
      const double root = std::sqrt(second_[i] / (1.0 - power2_)) + options_.epsilon;
      theta_[i] -= static_cast<float>(rate * first_[i] / (1.0 - power1_) / root);
    }
  }

  const std::vector<float>& theta() const { return theta_; }

 private:
  FitGroup group() const {
    return {g_,      rows_,  transposed_.data(), weights_.data(), row_weight_.data(),
            rounds_, pairs_, pair_stride_,       cosine_.data(),  sine_.data()};
  }

  const FitOptions& options_;
  int64_t g_;
  int64_t rounds_;
  int64_t rows_;
  const int16_t* pairs_;
  int64_t pair_stride_;
  double scale_;
  std::vector<float> transposed_, weights_, row_weight_;
  std::vector<float> theta_, cosine_, sine_, slope_;
  std::vector<double> first_, second_;
  std::vector<bool> turning_;  // like theta_; empty: all
  double power1_ = 1.0, power2_ = 1.0;
  std::vector<float> scratch_, gradient_;
};

}  // namespace

FitResult fit_rotation(const FitProblem& problem, const PairRounds& pairs, const FitOptions& options,
                       const Kernels& kernels, ThreadPool& pool) {
  const int64_t g = pairs.group_size;
  const int64_t groups = pairs.in / g;
  PARO_CHECK(g <= kMaxGroup && g % 8 == 0);
  PARO_CHECK(static_cast<int64_t>(problem.row_weight.size()) == problem.out);
  PARO_CHECK(static_cast<int64_t>(problem.group_energy.size()) == groups);
  FitResult result;
  result.theta.assign(static_cast<size_t>(pairs.rounds * pairs.in / 2), 0.0f);
  std::vector<double> before(static_cast<size_t>(groups)), after(static_cast<size_t>(groups));
  if (pairs.used_rounds == 0) return result;
  pool.parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      GroupFit fit(problem, pairs, group, options);
      double loss = fit.evaluate(kernels);
      before[static_cast<size_t>(group)] = loss;
      for (int64_t step = 0; step < options.steps; ++step) {
        fit.step(step, kernels);
        loss = fit.evaluate(kernels);
      }
      after[static_cast<size_t>(group)] = loss;
      for (int64_t k = 0; k < pairs.used_rounds; ++k)
        for (int64_t t = 0; t < g / 2; ++t)
          result.theta[static_cast<size_t>(k * pairs.in / 2 + group * g / 2 + t)] = static_cast<float>(std::remainder(
              static_cast<double>(fit.theta()[static_cast<size_t>(k * g / 2 + t)]), 2.0 * std::numbers::pi));
    }
  });
  for (int64_t group = 0; group < groups; ++group) {
    result.loss_before += before[static_cast<size_t>(group)];
    result.loss_after += after[static_cast<size_t>(group)];
  }
  return result;
}

}  // namespace paro::calib
