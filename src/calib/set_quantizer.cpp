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

SetQuantizer::SetQuantizer(const QuantizeOptions& options, ThreadPool& pool)
    : options_(options), pool_(pool), kernels_(kernels_for(active_isa())) {}

QuantizedSet SetQuantizer::quantize(std::vector<SetMember> members, const Statistics* statistics, CrossMoment cross,
                                    uint64_t stream, bool online) const {
  QuantizedSet result;
  const int64_t in = static_cast<int64_t>(members.front().weight.size()) / members.front().out;
  if (statistics == nullptr) {
    const auto rotation =
        stored_rotation(idle_pairs(in, options_.group_size, 0), std::vector<float>(static_cast<size_t>(in / 2), 0.0f));
    double loss = 0.0;
    double energy = 0.0;
    for (const SetMember& member : members) result.weights.push_back(round(member, rotation, nullptr, loss, energy));
    return result;
  }

  SquareMatrix h = statistics->second_moment(members.front().name);
  correct(members, *statistics, cross, h);
  std::vector<float> h32(h.data.begin(), h.data.end());
  std::vector<double> rtn_losses;
  for (const SetMember& member : members) rtn_losses.push_back(rtn_loss(member, h32));
  h32 = {};

  std::vector<const SetMember*> all;
  for (const SetMember& member : members) all.push_back(&member);
  double loss = 0.0;
  double energy = 0.0;
  if (options_.share_rotations || options_.rotations == 0 || !online) {
    const PairRounds pairs = pairs_for(all, in, stream, online);
    const auto rotation = fit(all, rtn_losses, h, pairs, result.losses);
    rotate_second_moment(*rotation, h, pool_);
    for (const SetMember& member : members) result.weights.push_back(round(member, rotation, &h, loss, energy));
  } else {
    double fit_sum = 0.0;
    for (size_t i = 0; i < members.size(); ++i) {
      const PairRounds pairs = pairs_for({all[i]}, in, stream, online);
      const auto rotation = fit({all[i]}, {rtn_losses[i]}, h, pairs, result.losses);
      fit_sum += result.losses.fit;
      SquareMatrix rotated = h;
      rotate_second_moment(*rotation, rotated, pool_);
      result.weights.push_back(round(members[i], rotation, &rotated, loss, energy));
    }
    result.losses.fit = fit_sum / static_cast<double>(members.size());
  }
  energy = std::max(energy, 1e-30);
  result.losses.rtn = std::accumulate(rtn_losses.begin(), rtn_losses.end(), 0.0) / energy;
  result.losses.rounded = loss / energy;
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

PairRounds SetQuantizer::pairs_for(const std::vector<const SetMember*>& members, int64_t in, uint64_t stream,
                                   bool online) const {
  if (!online) return idle_pairs(in, options_.group_size, options_.rotations);
  std::vector<float> magnitudes(static_cast<size_t>(in));  // of each channel: its largest weight
  for (const SetMember* member : members)
    for (size_t i = 0; i < member->weight.size(); ++i) {
      float& magnitude = magnitudes[i % static_cast<size_t>(in)];
      magnitude = std::max(magnitude, std::abs(member->weight[i]));
    }
  PairRounds pairs = options_.pairs == PairKind::kMagnitude
                         ? make_magnitude_pairs(magnitudes, options_.group_size, options_.rotations)
                         : make_pairs(options_.pairs, in, options_.group_size, options_.rotations,
                                      options_.seed * 0x9e3779b97f4a7c15ull + stream);
  if (options_.pair_fraction < 1.0) keep_most_different(pairs, magnitudes, options_.pair_fraction);
  return pairs;
}

double SetQuantizer::rtn_loss(const SetMember& member, const std::vector<float>& h) const {
  const int64_t in = static_cast<int64_t>(member.weight.size()) / member.out;
  const std::vector<float> w = transposed(member.weight, member.out, in, pool_);
  RoundOptions options = round_options(options_);
  options.clip = false;
  const Rounded rounded = round_to_nearest(w, member.out, options, kernels_, pool_);
  std::vector<float> error(w.size());
  const int64_t groups = in / options_.group_size;
  pool_.parallel_for(in, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t o = 0; o < member.out; ++o) {
        const auto group = static_cast<size_t>(o * groups + i / options_.group_size);
        const auto at = static_cast<size_t>(i * member.out + o);
        error[at] = (static_cast<float>(rounded.codes[static_cast<size_t>(o * in + i)]) - rounded.zeros[group]) *
                        rounded.scales[group] -
                    w[at];
      }
  });
  constexpr int64_t kRows = 64;
  std::vector<double> parts(static_cast<size_t>((member.out + kRows - 1) / kRows));
  pool_.parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      parts[static_cast<size_t>(part)] =
          quadratic_loss(error, member.out, h, part * kRows, std::min(member.out, (part + 1) * kRows));
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

std::shared_ptr<const PairRotation> SetQuantizer::fit(const std::vector<const SetMember*>& members,
                                                      const std::vector<double>& rtn_losses, const SquareMatrix& h,
                                                      const PairRounds& pairs, SetLosses& losses) const {
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
  const FitResult result = fit_rotation(problem, pairs, FitOptions{}, kernels_, pool_);
  losses.fit = result.loss_before > 0.0 ? result.loss_after / result.loss_before : 1.0;
  return stored_rotation(pairs, result.theta);
}

Paro4Weight SetQuantizer::round(const SetMember& member, std::shared_ptr<const PairRotation> rotation,
                                const SquareMatrix* h, double& loss, double& energy) const {
  std::vector<float> w = transposed(member.weight, member.out, rotation->in, pool_);
  rotate_transposed(*rotation, w.data(), member.out, pool_);
  RoundOptions options = round_options(options_);
  options.clip = h != nullptr;
  Rounded rounded = h == nullptr ? round_to_nearest(w, member.out, options, kernels_, pool_)
                                 : round_second_order(w, member.out, *h, options, kernels_, pool_);
  loss += rounded.loss;
  energy += rounded.reference;
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
  return weight;
}

}  // namespace paro::calib
