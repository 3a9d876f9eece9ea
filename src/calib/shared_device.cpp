#include "calib/shared_device.h"

#include <cstring>

namespace paro::calib {
namespace {

template <typename T>
std::vector<T> gathered(Processes& processes, const std::vector<T>& part) {
  const std::vector<std::byte> bytes = processes.gather(std::as_bytes(std::span(part)));
  std::vector<T> all(bytes.size() / sizeof(T));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

/// The pairs of input groups [groups.begin, groups.end).
PairRounds pairs_of(const PairRounds& pairs, Share groups) {
  PairRounds part;
  part.in = (groups.end - groups.begin) * pairs.group_size;
  part.group_size = pairs.group_size;
  part.rounds = pairs.rounds;
  part.used_rounds = pairs.used_rounds;
  for (int64_t round = 0; round < pairs.rounds; ++round) {
    const int64_t first = round * pairs.in + groups.begin * pairs.group_size;
    const auto from = pairs.pairs.begin() + first;
    part.pairs.insert(part.pairs.end(), from, from + part.in);
    if (pairs.turning.empty()) continue;
    const auto turning = pairs.turning.begin() + first / 2;
    part.turning.insert(part.turning.end(), turning, turning + part.in / 2);
  }
  return part;
}

}  // namespace

Share share_of(int64_t count, int rank, int size) {
  const auto bound = [&](int64_t r) { return (count * r + size - 1) / size; };
  return {bound(rank), bound(rank + 1)};
}

void SharedDevice::complete(MomentSums& sums) {
  inner_.complete(sums);
  sums.combine([&](std::span<double> values) { processes_.sum(values); });
}

double SharedDevice::nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                                  const std::vector<float>& scale) {
  const Share rows = mine(w.out);
  double loss = 0.0;
  if (rows.end > rows.begin)
    loss = inner_.nearest_loss(*inner_.part_of(w, {rows.begin, rows.end, 0, w.in}), h, options, scale);
  processes_.sum({&loss, 1});
  return loss;
}

FitResult SharedDevice::fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) {
  const int64_t g = pairs.group_size;
  const Share groups = mine(pairs.in / g);
  const int64_t columns = (groups.end - groups.begin) * g;
  std::vector<double> result(static_cast<size_t>(pairs.rounds * pairs.in / 2 + 2));
  if (columns > 0) {
    std::vector<std::unique_ptr<WeightMatrix>> parts;
    std::vector<const WeightMatrix*> weights;
    for (const WeightMatrix* w : problem.weights) {
      parts.push_back(inner_.part_of(*w, {0, w->out, groups.begin * g, groups.end * g}));
      weights.push_back(parts.back().get());
    }
    const auto energy = problem.group_energy.begin();
    const SharedFit part = {weights, problem.row_weight, {energy + groups.begin, energy + groups.end}};
    const FitResult fitted = inner_.fit(part, pairs_of(pairs, groups), options);
    for (int64_t round = 0; round < pairs.rounds; ++round) {
      const auto from = fitted.theta.begin() + round * columns / 2;
      std::copy(from, from + columns / 2, result.begin() + (round * pairs.in + groups.begin * g) / 2);
    }
    result[result.size() - 2] = fitted.loss_before;
    result[result.size() - 1] = fitted.loss_after;
  }
  // Angles of other processes' groups are 0 here: their sum is exact.
  processes_.sum(result);
  FitResult all;
  all.loss_before = result[result.size() - 2];
  all.loss_after = result[result.size() - 1];
  for (size_t i = 0; i + 2 < result.size(); ++i) all.theta.push_back(static_cast<float>(result[i]));
  return all;
}

Rounded SharedDevice::round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                            const RoundOptions& options) {
  const Share rows = mine(w.out);
  Rounded rounded;
  if (rows.end > rows.begin)
    rounded = inner_.round(*inner_.part_of(w, {rows.begin, rows.end, 0, w.in}), rotation, h, options);
  rounded.codes = gathered(processes_, rounded.codes);
  rounded.zeros = gathered(processes_, rounded.zeros);
  rounded.scales = gathered(processes_, rounded.scales);
  double losses[] = {rounded.loss, rounded.reference};
  processes_.sum(losses);
  rounded.loss = losses[0];
  rounded.reference = losses[1];
  return rounded;
}

Json SharedDevice::fingerprint() const {
  Json result = inner_.fingerprint();
  result["processes"] = processes_.size();
  return result;
}

}  // namespace paro::calib
