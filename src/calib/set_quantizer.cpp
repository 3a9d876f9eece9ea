#include "calib/set_quantizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/dtype.h"

namespace paro::calib {
namespace {

constexpr double kCorrectionDamping = 0.01;

/// Inputs by falling energy, GPTQ's act-order: what matters most is rounded first, with all others left to make up.
std::vector<int32_t> by_energy(const SecondMoment& h) {
  std::vector<int32_t> order(static_cast<size_t>(h.n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return h.diagonal[static_cast<size_t>(a)] > h.diagonal[static_cast<size_t>(b)];
  });
  return order;
}

RoundOptions round_options(const QuantizeOptions& options, bool clip) {
  RoundOptions result;
  result.group_size = options.group_size;
  result.levels = options.levels();
  result.sweeps = options.sweeps;
  result.clip = clip && options.clip;
  result.second_order = options.method != Method::kAwq;
  return result;
}

void set_losses(QuantizedSet& set, const std::vector<double>& nearest, double rounded, double energy) {
  energy = std::max(energy, 1e-30);
  set.losses.rtn = std::accumulate(nearest.begin(), nearest.end(), 0.0) / energy;
  set.losses.rounded = rounded / energy;
}

std::vector<float> as_f16(std::vector<float> values) {
  for (float& value : values) value = f16_to_f32(f32_to_f16(value));
  return values;
}

}  // namespace

PairRounds choose_pairs(const QuantizeOptions& options, int64_t in, uint64_t stream,
                        const std::function<std::vector<float>()>& magnitudes) {
  std::vector<float> strength;
  if (options.pairs == PairKind::kMagnitude || options.pair_fraction < 1.0) strength = magnitudes();
  PairRounds pairs = options.pairs == PairKind::kMagnitude
                         ? make_magnitude_pairs(strength, options.group_size, options.rotations)
                         : make_pairs(options.pairs, in, options.group_size, options.rotations,
                                      options.seed * 0x9e3779b97f4a7c15ull + stream);
  if (options.pair_fraction < 1.0) keep_most_different(pairs, strength, options.pair_fraction);
  return pairs;
}

std::shared_ptr<const PairRotation> stored_rotation(const PairRounds& pairs, const std::vector<float>& theta,
                                                    const std::vector<float>& channel_scales) {
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = pairs.in;
  rotation->group_size = pairs.group_size;
  rotation->rounds = pairs.rounds;
  rotation->pairs = pairs.pairs;
  rotation->theta = as_f16(theta);
  rotation->channel_scales =
      channel_scales.empty() ? std::vector<float>(static_cast<size_t>(pairs.in), 1.0f) : as_f16(channel_scales);
  return rotation;
}

QuantizedSet SetQuantizer::quantize(std::vector<SetMember> members, const MomentSums* sums, CrossMoment cross,
                                    uint64_t stream, bool online) const {
  QuantizedSet result;
  double loss = 0.0;
  double energy = 0.0;
  if (sums == nullptr) {
    const auto rotation = unrotated(members.front().weight->in);
    for (const SetMember& member : members) result.weights.push_back(round(member, rotation, nullptr, loss, energy));
    return result;
  }

  std::vector<WeightMatrix*> weights;
  for (SetMember& member : members) weights.push_back(member.weight.get());
  const std::unique_ptr<SecondMoment> h = device_.second_moment(*sums, members.front().name);
  device_.correct(weights, *sums, cross, *h, kCorrectionDamping, members.front().name);
  std::vector<double> nearest_losses;
  for (const WeightMatrix* weight : weights)
    nearest_losses.push_back(device_.nearest_loss(*weight, *h, round_options(options_, false)));

  if (options_.share_rotations || options_.rotations == 0 || !online) {
    const std::vector<const WeightMatrix*> all(weights.begin(), weights.end());
    const auto rotation = fit(all, nearest_losses, *h, pairs_for(all, stream, online), result.losses);
    device_.rotate(*h, *rotation);
    for (const SetMember& member : members) result.weights.push_back(round(member, rotation, h.get(), loss, energy));
  } else {
    double fit_sum = 0.0;
    for (size_t i = 0; i < members.size(); ++i) {
      const WeightMatrix* const one[] = {weights[i]};
      const auto rotation =
          fit(one, std::span(nearest_losses).subspan(i, 1), *h, pairs_for(one, stream, online), result.losses);
      fit_sum += result.losses.fit;
      const std::unique_ptr<SecondMoment> rotated = device_.copy_of(*h);
      device_.rotate(*rotated, *rotation);
      result.weights.push_back(round(members[i], rotation, rotated.get(), loss, energy));
    }
    result.losses.fit = fit_sum / static_cast<double>(members.size());
  }
  set_losses(result, nearest_losses, loss, energy);
  return result;
}

PairRounds SetQuantizer::pairs_for(std::span<const WeightMatrix* const> weights, uint64_t stream, bool online) const {
  const int64_t in = weights.front()->in;
  if (!online) return idle_pairs(in, options_.group_size, options_.rotations);
  return choose_pairs(options_, in, stream, [&] {
    std::vector<float> magnitudes(static_cast<size_t>(in));
    for (const WeightMatrix* weight : weights) {
      const std::vector<float> of_one = device_.channel_magnitudes(*weight);
      for (size_t i = 0; i < magnitudes.size(); ++i) magnitudes[i] = std::max(magnitudes[i], of_one[i]);
    }
    return magnitudes;
  });
}

QuantizedSet SetQuantizer::quantize(std::vector<SetMember> members, const SecondMoment& h) const {
  QuantizedSet result;
  double loss = 0.0;
  double energy = 0.0;
  std::vector<double> nearest_losses;
  const auto rotation = unrotated(h.n);
  for (const SetMember& member : members) {
    nearest_losses.push_back(device_.nearest_loss(*member.weight, h, round_options(options_, false)));
    result.weights.push_back(round(member, rotation, &h, loss, energy));
  }
  set_losses(result, nearest_losses, loss, energy);
  return result;
}

std::shared_ptr<const PairRotation> SetQuantizer::unrotated(int64_t in) const {
  return stored_rotation(idle_pairs(in, options_.group_size, 0), std::vector<float>(static_cast<size_t>(in / 2), 0.0f));
}

std::shared_ptr<const PairRotation> SetQuantizer::fit(std::span<const WeightMatrix* const> weights,
                                                      std::span<const double> nearest_losses, const SecondMoment& h,
                                                      const PairRounds& pairs, SetLosses& losses) const {
  if (pairs.used_rounds == 0) {
    losses.fit = 1.0;
    return stored_rotation(pairs, std::vector<float>(static_cast<size_t>(pairs.rounds * h.n / 2), 0.0f));
  }
  SharedFit problem;
  problem.weights = weights;
  // Both sides on the scale of H / mean(diag H): the loss is then of order one whatever the activations are.
  const double mean =
      std::max(std::accumulate(h.diagonal.begin(), h.diagonal.end(), 0.0) / static_cast<double>(h.n), 1e-30);
  for (const double loss : nearest_losses)
    problem.row_weight.push_back(static_cast<float>(1.0 / std::max(loss / mean, 1e-20)));
  for (auto group = h.diagonal.begin(); group != h.diagonal.end(); group += options_.group_size)
    problem.group_energy.push_back(std::accumulate(group, group + options_.group_size, 0.0) / mean);
  const FitResult result = device_.fit(problem, pairs, {.levels = options_.levels()});
  losses.fit = result.loss_before > 0.0 ? result.loss_after / result.loss_before : 1.0;
  return stored_rotation(pairs, result.theta);
}

Paro4Weight SetQuantizer::round(const SetMember& member, std::shared_ptr<const PairRotation> rotation,
                                const SecondMoment* h, double& loss, double& energy) const {
  RoundOptions round = round_options(options_, h != nullptr);
  std::vector<int32_t> order;
  if (options_.act_order) order = by_energy(*h);
  round.order = order;
  Rounded rounded = device_.round(*member.weight, *rotation, h, round);
  loss += rounded.loss;
  energy += rounded.reference;
  Paro4Weight weight;
  weight.in = rotation->in;
  weight.out = member.weight->out;
  weight.group_size = options_.group_size;
  weight.codes = std::move(rounded.codes);
  weight.zeros = std::move(rounded.zeros);
  weight.scales = std::move(rounded.scales);
  weight.rotation = std::move(rotation);
  weight.order = std::move(order);
  // As it is stored: a resumed run reads it back.
  for (const float b : member.bias) weight.bias.push_back(f16_to_f32(f32_to_f16(b)));
  return weight;
}

}  // namespace paro::calib
