#include "calib/set_quantizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/dtype.h"
#include "calib/numeric/correction.h"
#include "calib/numeric/rotate.h"
#include "calib/numeric/rotation_fit.h"
#include "calib/numeric/rounding.h"

namespace paro::calib {
namespace {

constexpr double kCorrectionDamping = 0.01;
// Losses that only the report needs are estimated from so many outputs: an exact one costs a product of all with H.
constexpr int64_t kSampledRows = 128;

std::vector<float> transposed(const std::vector<float>& w, int64_t out, int64_t in, ThreadPool& pool) {
  constexpr int64_t kTile = 32;
  std::vector<float> result(w.size());
  pool.parallel_for(in, kTile, [&](int64_t begin, int64_t end) {
    for (int64_t o0 = 0; o0 < out; o0 += kTile)
      for (int64_t i = begin; i < end; ++i)
        for (int64_t o = o0; o < std::min(o0 + kTile, out); ++o)
          result[static_cast<size_t>(i * out + o)] = w[static_cast<size_t>(o * in + i)];
  });
  return result;
}

/// At most kSampledRows outputs of w [in, out], evenly spread: [in, rows].
std::vector<float> sampled_rows(const std::vector<float>& w, int64_t out) {
  const int64_t rows = std::min(out, kSampledRows);
  const int64_t in = static_cast<int64_t>(w.size()) / out;
  std::vector<float> result(static_cast<size_t>(in * rows));
  for (int64_t i = 0; i < in; ++i)
    for (int64_t r = 0; r < rows; ++r)
      result[static_cast<size_t>(i * rows + r)] = w[static_cast<size_t>(i * out + r * out / rows)];
  return result;
}

RoundOptions round_options(const QuantizeOptions& options) {
  RoundOptions result;
  result.group_size = options.group_size;
  result.sweeps = options.sweeps;
  return result;
}

std::shared_ptr<const PairRotation> stored_rotation(const PairRounds& pairs, const std::vector<float>& theta) {
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = pairs.in;
  rotation->group_size = pairs.group_size;
  rotation->rounds = pairs.rounds;
  rotation->pairs = pairs.pairs;
  rotation->theta.resize(theta.size());
  std::transform(theta.begin(), theta.end(), rotation->theta.begin(),
                 [](float t) { return f16_to_f32(f32_to_f16(t)); });
  rotation->channel_scales.assign(static_cast<size_t>(pairs.in), 1.0f);
  return rotation;
}

}  // namespace

int64_t drop_lost_angles(std::vector<float>& theta) {
  int64_t lost = 0;
  for (float& angle : theta) {
    if (std::isfinite(angle)) continue;
    angle = 0.0f;
    ++lost;
  }
  return lost;
}

SetQuantizer::SetQuantizer(const QuantizeOptions& options, ThreadPool& pool)
    : options_(options), pool_(pool), kernels_(kernels_for(active_isa())) {}

QuantizedSet SetQuantizer::quantize(std::vector<SetMember> members, const Statistics* statistics, CrossMoment cross,
                                    uint64_t stream) const {
  QuantizedSet result;
  const int64_t in = static_cast<int64_t>(members.front().weight.size()) / members.front().out;
  result.measures.resize(members.size());
  for (size_t i = 0; i < members.size(); ++i)
    result.measures[i].given = measure_groups(transposed(members[i].weight, members[i].out, in, pool_), members[i].out,
                                              options_.group_size, pool_);
  if (statistics == nullptr) {
    const auto rotation = stored_rotation(make_pairs(PairKind::kRandom, in, options_.group_size, 0, stream),
                                          std::vector<float>(static_cast<size_t>(in / 2), 0.0f));
    for (size_t i = 0; i < members.size(); ++i) {
      result.measures[i].before = result.measures[i].given;
      result.weights.push_back(round(members[i], rotation, nullptr, result.measures[i]));
    }
    return result;
  }

  SquareMatrix h = statistics->second_moment(members.front().name);
  std::vector<std::vector<float>> given;
  for (const SetMember& member : members) given.push_back(member.weight);
  correct(members, *statistics, cross, h);
  std::vector<double> rtn_losses;
  {
    const std::vector<float> h32(h.data.begin(), h.data.end());
    const ChannelPeaks peaks = measure_channels(h, options_.group_size);
    for (size_t i = 0; i < members.size(); ++i) {
      const SetMember& member = members[i];
      LinearMeasures& measures = result.measures[i];
      const std::vector<float> target = transposed(member.weight, member.out, in, pool_);
      measures.input_before = peaks;
      measures.before = measure_groups(target, member.out, options_.group_size, pool_);
      measures.corrected = rtn_loss(target, target, member.out, h32);
      measures.start = measures.corrected;
      const int64_t rows = std::min(member.out, kSampledRows);
      const std::vector<float> sample = sampled_rows(target, member.out);
      measures.sampled = rtn_loss(sample, sample, rows, h32);
      if (cross != CrossMoment::kNone && measures.sampled > 0.0) {
        const std::vector<float> before = sampled_rows(transposed(given[i], member.out, in, pool_), member.out);
        measures.start *= rtn_loss(before, sample, rows, h32) / measures.sampled;
      }
      rtn_losses.push_back(measures.corrected);
    }
    given = {};
  }

  std::vector<const SetMember*> all;
  for (const SetMember& member : members) all.push_back(&member);
  if (options_.share_rotations || options_.rotations == 0) {
    const auto rotation = fit(all, rtn_losses, h, stream, result.losses);
    rotate_second_moment(*rotation, h, pool_);
    for (size_t i = 0; i < members.size(); ++i)
      result.weights.push_back(round(members[i], rotation, &h, result.measures[i]));
  } else {
    double fit_sum = 0.0;
    for (size_t i = 0; i < members.size(); ++i) {
      const auto rotation = fit({all[i]}, {rtn_losses[i]}, h, stream, result.losses);
      fit_sum += result.losses.fit;
      SquareMatrix rotated = h;
      rotate_second_moment(*rotation, rotated, pool_);
      result.weights.push_back(round(members[i], rotation, &rotated, result.measures[i]));
    }
    result.losses.fit = fit_sum / static_cast<double>(members.size());
  }
  double energy = 1e-30;
  for (const LinearMeasures& measures : result.measures) {
    result.losses.rtn += measures.corrected;
    result.losses.rounded += measures.rounded;
    energy += measures.energy;
  }
  result.losses.rtn /= energy;
  result.losses.rounded /= energy;
  return result;
}

void SetQuantizer::correct(std::vector<SetMember>& members, const Statistics& statistics, CrossMoment cross,
                           const SquareMatrix& h) const {
  if (cross == CrossMoment::kNone) return;
  const std::vector<double> moment = statistics.cross_moment(members.front().name);
  for (SetMember& member : members) {
    std::vector<double> excess = cross == CrossMoment::kInputs
                                     ? excess_from_inputs(member.weight.data(), member.out, h, moment, pool_)
                                     : excess_from_outputs(member.weight.data(), member.out, h, moment, pool_);
    member.weight = corrected_weight(member.weight.data(), member.out, h, std::move(excess), kCorrectionDamping, pool_);
  }
}

double SetQuantizer::rtn_loss(const std::vector<float>& weight, const std::vector<float>& target, int64_t out,
                              const std::vector<float>& h) const {
  const int64_t in = static_cast<int64_t>(target.size()) / out;
  RoundOptions options = round_options(options_);
  options.clip = false;
  const Rounded rounded = round_to_nearest(weight, out, options, kernels_, pool_);
  std::vector<float> error(target.size());
  const int64_t groups = in / options_.group_size;
  pool_.parallel_for(in, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t o = 0; o < out; ++o) {
        const auto group = static_cast<size_t>(o * groups + i / options_.group_size);
        const auto at = static_cast<size_t>(i * out + o);
        error[at] = (static_cast<float>(rounded.codes[static_cast<size_t>(o * in + i)]) - rounded.zeros[group]) *
                        rounded.scales[group] -
                    target[at];
      }
  });
  constexpr int64_t kRows = 64;
  std::vector<double> parts(static_cast<size_t>((out + kRows - 1) / kRows));
  pool_.parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      parts[static_cast<size_t>(part)] = quadratic_loss(error, out, h, part * kRows, std::min(out, (part + 1) * kRows));
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

std::shared_ptr<const PairRotation> SetQuantizer::fit(const std::vector<const SetMember*>& members,
                                                      const std::vector<double>& rtn_losses, const SquareMatrix& h,
                                                      uint64_t stream, SetLosses& losses) const {
  const PairRounds pairs = make_pairs(options_.pairs, h.n, options_.group_size, options_.rotations,
                                      options_.seed * 0x9e3779b97f4a7c15ull + stream);
  if (pairs.used_rounds == 0) {
    losses.fit = 1.0;
    return stored_rotation(pairs, std::vector<float>(static_cast<size_t>(pairs.rounds * h.n / 2), 0.0f));
  }
  FitProblem problem;
  std::vector<float> stacked;
  for (size_t i = 0; i < members.size(); ++i) {
    stacked.insert(stacked.end(), members[i]->weight.begin(), members[i]->weight.end());
    const double mean = std::max(h.mean_diagonal(), 1e-30);
    // Both sides on the scale of H / mean(diag H): the loss is then of order one whatever the activations are.
    problem.row_weight.insert(problem.row_weight.end(), static_cast<size_t>(members[i]->out),
                              static_cast<float>(1.0 / std::max(rtn_losses[i] / mean, 1e-20)));
    problem.out += members[i]->out;
  }
  problem.weight = stacked.data();
  const double mean = std::max(h.mean_diagonal(), 1e-30);
  for (int64_t begin = 0; begin < h.n; begin += options_.group_size) {
    double energy = 0.0;
    for (int64_t i = begin; i < begin + options_.group_size; ++i) energy += h.row(i)[i] / mean;
    problem.group_energy.push_back(energy);
  }
  FitResult result = fit_rotation(problem, pairs, FitOptions{}, kernels_, pool_);
  losses.lost_angles += drop_lost_angles(result.theta);
  losses.fit = result.loss_before > 0.0 ? result.loss_after / result.loss_before : 1.0;
  return stored_rotation(pairs, result.theta);
}

Paro4Weight SetQuantizer::round(const SetMember& member, std::shared_ptr<const PairRotation> rotation,
                                const SquareMatrix* h, LinearMeasures& measures) const {
  std::vector<float> w = transposed(member.weight, member.out, rotation->in, pool_);
  rotate_transposed(*rotation, w.data(), member.out, pool_);
  RoundOptions options = round_options(options_);
  options.clip = h != nullptr;
  Rounded rounded = h == nullptr ? round_to_nearest(w, member.out, options, kernels_, pool_)
                                 : round_second_order(w, member.out, *h, options, kernels_, pool_);
  measures.rounded = rounded.loss;
  measures.energy = rounded.reference;
  measures.after = measure_groups(w, member.out, options_.group_size, pool_);
  if (h != nullptr) {
    measures.input_after = measure_channels(*h, options_.group_size);
    const std::vector<float> sample = sampled_rows(w, member.out);
    const std::vector<float> h32(h->data.begin(), h->data.end());
    measures.rotated = measures.corrected;
    if (measures.sampled > 0.0)
      measures.rotated *= rtn_loss(sample, sample, std::min(member.out, kSampledRows), h32) / measures.sampled;
  }
  Paro4Weight weight;
  weight.in = rotation->in;
  weight.out = member.out;
  weight.group_size = options_.group_size;
  weight.codes = std::move(rounded.codes);
  weight.zeros = std::move(rounded.zeros);
  weight.scales = std::move(rounded.scales);
  weight.rotation = std::move(rotation);
  // As it is stored: a resumed run reads it back.
  for (const float b : member.bias) weight.bias.push_back(f16_to_f32(f32_to_f16(b)));
  measures.add_written(weight, w, pool_);
  return weight;
}

}  // namespace paro::calib
