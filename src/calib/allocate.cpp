#include "calib/allocate.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <tuple>

#include "base/error.h"

namespace paro::calib {
namespace {

/// The widths on the lower convex hull of (bits, loss), from the smallest to the one of least loss.
std::vector<int64_t> hull(const std::map<int64_t, double>& loss) {
  std::vector<int64_t> result;
  for (const auto& [bits, value] : loss) {
    if (!result.empty() && value >= loss.at(result.back())) continue;
    const auto slope = [&](int64_t from, int64_t to) {
      return (loss.at(to) - loss.at(from)) / static_cast<double>(to - from);
    };
    while (result.size() > 1 &&
           slope(result[result.size() - 2], result.back()) >= slope(result[result.size() - 2], bits))
      result.pop_back();
    result.push_back(bits);
  }
  return result;
}

struct Step {
  double gain;  // loss taken off for each bit spent
  size_t item;
  size_t to;  // position in the item's hull

  bool operator<(const Step& other) const {
    // Of equal gains the earlier linear's: the result depends on nothing else.
    return std::tie(gain, other.item) < std::tie(other.gain, item);
  }
};

}  // namespace

double bits_per_weight(int64_t bits, int64_t group_size) {
  return static_cast<double>(bits) + static_cast<double>(16 + bits) / static_cast<double>(group_size);
}

std::map<std::string, int64_t> allocate_bits(const std::vector<AllocationItem>& items, double target,
                                             int64_t group_size, const FixedBits& fixed) {
  std::vector<std::vector<int64_t>> hulls;
  std::vector<size_t> chosen(items.size());
  double weights = fixed.weights, spent = fixed.bits, most = fixed.bits;
  const auto cost = [&](size_t i, int64_t bits) {
    return static_cast<double>(items[i].weights) * bits_per_weight(bits, group_size);
  };
  for (size_t i = 0; i < items.size(); ++i) {
    PARO_CHECK(!items[i].loss.empty());
    hulls.push_back(hull(items[i].loss));
    weights += static_cast<double>(items[i].weights);
    spent += cost(i, hulls[i].front());
    most += cost(i, items[i].loss.rbegin()->first);
  }
  const double budget = target * weights * (1.0 + 1e-12);
  if (items.empty() || !(spent <= budget) || target * weights > most * (1.0 + 1e-9))
    fail_usage("--target-bits {}: expected {:.3f} to {:.3f} bits a weight, scales and zero points included", target,
               std::ceil(spent / weights * 1000.0) / 1000.0, std::floor(most / weights * 1000.0) / 1000.0);
  std::priority_queue<Step> steps;
  const auto offer = [&](size_t i) {
    const size_t to = chosen[i] + 1;
    if (to >= hulls[i].size()) return;
    const int64_t before = hulls[i][to - 1], after = hulls[i][to];
    const double gain = (items[i].loss.at(before) - items[i].loss.at(after)) / (cost(i, after) - cost(i, before));
    steps.push({gain, i, to});
  };
  for (size_t i = 0; i < items.size(); ++i) offer(i);
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    const double more = cost(step.item, hulls[step.item][step.to]) - cost(step.item, hulls[step.item][step.to - 1]);
    // What does not fit is left; smaller linears behind it may.
    if (spent + more > budget) continue;
    spent += more;
    chosen[step.item] = step.to;
    offer(step.item);
  }
  std::map<std::string, int64_t> result;
  for (size_t i = 0; i < items.size(); ++i) result[items[i].name] = hulls[i][chosen[i]];
  return result;
}

double average_bits(const std::vector<AllocationItem>& items, const std::map<std::string, int64_t>& bits,
                    int64_t group_size, const FixedBits& fixed) {
  double weights = fixed.weights, spent = fixed.bits;
  for (const AllocationItem& item : items) {
    weights += static_cast<double>(item.weights);
    spent += static_cast<double>(item.weights) * bits_per_weight(bits.at(item.name), group_size);
  }
  return spent / weights;
}

}  // namespace paro::calib
