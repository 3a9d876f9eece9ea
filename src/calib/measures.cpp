#include "calib/measures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

namespace paro::calib {
namespace {

constexpr int64_t kRows = 64;

/// Sums over the values of one group for kRows outputs at a time.
struct Moments {
  std::array<double, kRows> power1{}, power2{}, power3{}, power4{};
  std::array<float, kRows> high, low;
};

struct GroupSums {
  double peak = 0.0;
  double peak_max = 0.0;
  double kurtosis = 0.0;
  int64_t equal = 0;
};

void add_group(const Moments& m, int64_t rows, double n, GroupSums& sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const auto i = static_cast<size_t>(r);
    if (m.high[i] == m.low[i]) {
      ++sums.equal;
      continue;
    }
    const double mean = m.power1[i] / n;
    const double square = m.power2[i] / n;
    const double variance = std::max(square - mean * mean, 1e-300);
    const double fourth =
        m.power4[i] / n - 4.0 * mean * m.power3[i] / n + 6.0 * mean * mean * square - 3.0 * mean * mean * mean * mean;
    const double largest =
        std::max(std::fabs(static_cast<double>(m.high[i])), std::fabs(static_cast<double>(m.low[i])));
    const double peak = largest / std::sqrt(square);
    sums.peak += peak;
    sums.peak_max = std::max(sums.peak_max, peak);
    sums.kurtosis += fourth / (variance * variance) - 3.0;
  }
}

Json shape_json(const GroupShape& shape) {
  return {{"peak_mean", shape.peak_mean},
          {"peak_max", shape.peak_max},
          {"kurtosis", shape.kurtosis},
          {"equal_groups", shape.equal_groups}};
}

Json peaks_json(const ChannelPeaks& peaks) { return {{"peak", peaks.whole}, {"peak_in_groups", peaks.in_groups}}; }

/// Rounds without any angle are not in use (a butterfly has fewer than the format holds).
Json angles_json(const PairRotation& rotation) {
  std::vector<int64_t> bins(kAngleBins);
  double sum = 0.0;
  double largest = 0.0;
  int64_t count = 0;
  const int64_t pairs = rotation.in / 2;
  for (int64_t round = 0; round < rotation.rounds; ++round) {
    const auto begin = rotation.theta.begin() + round * pairs;
    if (std::all_of(begin, begin + pairs, [](float t) { return t == 0.0f; })) continue;
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = std::fabs(static_cast<double>(begin[i]));
      sum += angle;
      largest = std::max(largest, angle);
      const auto bin = static_cast<int64_t>(angle / std::numbers::pi * static_cast<double>(kAngleBins));
      ++bins[static_cast<size_t>(std::clamp<int64_t>(bin, 0, kAngleBins - 1))];
      ++count;
    }
  }
  return {{"count", count},
          {"mean", count > 0 ? sum / static_cast<double>(count) : 0.0},
          {"max", largest},
          {"histogram", bins}};
}

Json range_json(std::vector<float> values) {
  if (values.empty()) return Json();
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  const double median = *middle;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {{"min", *least}, {"median", median}, {"max", *most}};
}

}  // namespace

GroupShape measure_groups(const std::vector<float>& w_transposed, int64_t out, int64_t group_size, ThreadPool& pool) {
  const int64_t groups = static_cast<int64_t>(w_transposed.size()) / out / group_size;
  std::vector<GroupSums> parts(static_cast<size_t>(groups));
  pool.parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group)
      for (int64_t o = 0; o < out; o += kRows) {
        const int64_t rows = std::min(kRows, out - o);
        Moments m;
        m.high.fill(-INFINITY);
        m.low.fill(INFINITY);
        for (int64_t i = group * group_size; i < (group + 1) * group_size; ++i)
          for (int64_t r = 0; r < rows; ++r) {
            const auto at = static_cast<size_t>(r);
            const float w = w_transposed[static_cast<size_t>(i * out + o + r)];
            const double x = w;
            m.power1[at] += x;
            m.power2[at] += x * x;
            m.power3[at] += x * x * x;
            m.power4[at] += x * x * x * x;
            m.high[at] = std::max(m.high[at], w);
            m.low[at] = std::min(m.low[at], w);
          }
        add_group(m, rows, static_cast<double>(group_size), parts[static_cast<size_t>(group)]);
      }
  });
  GroupShape shape;
  shape.groups = groups * out;
  for (const GroupSums& part : parts) {
    shape.peak_mean += part.peak;
    shape.peak_max = std::max(shape.peak_max, part.peak_max);
    shape.kurtosis += part.kurtosis;
    shape.equal_groups += part.equal;
  }
  const auto counted = static_cast<double>(std::max<int64_t>(1, shape.groups - shape.equal_groups));
  shape.peak_mean /= counted;
  shape.kurtosis /= counted;
  return shape;
}

int64_t count_equal_groups(const std::vector<float>& w, int64_t group_size) {
  int64_t equal = 0;
  for (auto group = w.begin(); group != w.end(); group += group_size)
    equal += std::all_of(group, group + group_size, [&](float value) { return value == *group; }) ? 1 : 0;
  return equal;
}

ChannelPeaks measure_channels(std::span<const double> energies, int64_t group_size) {
  ChannelPeaks peaks;
  double largest = 0.0;
  double total = 0.0;
  for (auto group = energies.begin(); group != energies.end(); group += group_size) {
    const double sum = std::accumulate(group, group + group_size, 0.0);
    const double most = *std::max_element(group, group + group_size);
    total += sum;
    largest = std::max(largest, most);
    if (sum > 0.0) peaks.in_groups += most / (sum / static_cast<double>(group_size));
  }
  const auto channels = static_cast<double>(energies.size());
  peaks.in_groups /= channels / static_cast<double>(group_size);
  peaks.whole = total > 0.0 ? largest / (total / channels) : 0.0;
  return peaks;
}

void LinearMeasures::add_written(const Paro4Weight& weight, double levels) {
  const auto at_ends = std::count_if(weight.codes.begin(), weight.codes.end(),
                                     [last = static_cast<uint8_t>(levels)](uint8_t c) { return c == 0 || c == last; });
  written_["groups"] = weight.out * weight.in / weight.group_size;
  written_["levels"] = levels;
  written_["angles"] = angles_json(*weight.rotation);
  written_["scales"] = range_json(weight.scales);
  written_["channel_scales"] = range_json(weight.rotation->channel_scales);
  written_["codes_at_ends"] = static_cast<double>(at_ends) / static_cast<double>(weight.codes.size());
}

void LinearMeasures::add_clipped(const Paro4Weight& weight, const std::vector<float>& target_transposed, double levels,
                                 ThreadPool& pool) {
  const int64_t groups = weight.in / weight.group_size;
  const auto last = static_cast<float>(levels);
  std::vector<int64_t> clipped(static_cast<size_t>(weight.out));
  pool.parallel_for(weight.out, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < weight.in; ++i)
      for (int64_t o = begin; o < end; ++o) {
        const auto group = static_cast<size_t>(o * groups + i / weight.group_size);
        const float wanted =
            std::nearbyint(target_transposed[static_cast<size_t>(i * weight.out + o)] / weight.scales[group]) +
            static_cast<float>(weight.zeros[group]);
        clipped[static_cast<size_t>(o)] += wanted < 0.0f || wanted > last ? 1 : 0;
      }
  });
  written_["clipped"] = static_cast<double>(std::accumulate(clipped.begin(), clipped.end(), int64_t{0})) /
                        static_cast<double>(weight.out * weight.in);
}

Json LinearMeasures::json() const {
  const auto or_null = [](const auto& value, const auto& to_json) -> Json {
    if (!value) return nullptr;
    return to_json(*value);
  };
  const auto share = [&](double loss) -> Json { return loss / energy; };
  Json result = written_;
  result["loss"] = nullptr;
  result["activations"] = nullptr;
  if (energy > 0.0) {
    result["loss"] = {{"start", or_null(start, share)},
                      {"corrected", share(corrected)},
                      {"rotated", or_null(rotated, share)},
                      {"rounded", share(rounded)}};
    result["activations"] = {{"before", or_null(input_before, peaks_json)},
                             {"after", or_null(input_after, peaks_json)}};
  }
  result["weights"] = {{"given", or_null(given, shape_json)},
                       {"before", or_null(before, shape_json)},
                       {"after", or_null(after, shape_json)}};
  if (!before && equal_groups) result["weights"]["before"] = {{"equal_groups", *equal_groups}};
  return result;
}

}  // namespace paro::calib
