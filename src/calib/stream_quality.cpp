#include "calib/stream_quality.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "calib/verify.h"

namespace paro::calib {
namespace {

// Rows of logits at a time: bounded by memory, enough for the head's product.
constexpr int64_t kRows = 64;

double mean_error(Device& device, const Streams& streams, int64_t first, int64_t windows) {
  const int64_t dim = streams.dim();
  const int64_t rows = std::clamp<int64_t>(kErrorTokens / windows, 1, streams.seq_len());
  double sum = 0.0;
  for (int64_t window = first; window < first + windows; ++window) {
    // Each window from another position on: the first ones of a text are not like those that follow.
    const int64_t begin = (window - first) * rows % (streams.seq_len() - rows + 1);
    const std::vector<float> full = device.to_host(streams.full(window).f32() + begin * dim, rows * dim);
    const std::vector<float> quantized = device.to_host(streams.quantized(window).f32() + begin * dim, rows * dim);
    for (int64_t row = 0; row < rows; ++row) {
      double error = 0.0;
      double energy = 1e-30;
      for (int64_t i = row * dim; i < (row + 1) * dim; ++i) {
        const double f = full[static_cast<size_t>(i)];
        const double d = static_cast<double>(quantized[static_cast<size_t>(i)]) - f;
        error += d * d;
        energy += f * f;
      }
      sum += error / energy;
    }
  }
  return sum / static_cast<double>(windows * rows);
}

/// Positions that have a next token, spread evenly.
std::vector<int64_t> some_positions(int64_t seq_len) {
  const int64_t count = std::min(kQualityPositions, seq_len - 1);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < count; ++i) positions.push_back(i * (seq_len - 1) / count);
  return positions;
}

std::vector<float> logits_of(const Model& ends, Device& device, Tensor hidden, std::span<const int64_t> positions) {
  const OpsScope scope(device.ops());
  const Tensor logits = ends.logits(device.ops(), hidden, positions);
  return device.to_host(logits.f32(), logits.rows * logits.dim);
}

Json quality_of(const Model& ends, Device& device, const Streams& streams, int64_t first, int64_t windows) {
  const std::vector<int64_t> positions = some_positions(streams.seq_len());
  double kl = 0.0;
  double excess = 0.0;  // negative log-likelihood, quantized minus full
  for (int64_t window = first; window < first + windows; ++window) {
    const std::vector<int32_t> ids = streams.window(window);
    for (size_t begin = 0; begin < positions.size(); begin += kRows) {
      const auto part = std::span(positions).subspan(begin, std::min<size_t>(kRows, positions.size() - begin));
      const std::vector<float> full = logits_of(ends, device, streams.full(window), part);
      const std::vector<float> quantized = logits_of(ends, device, streams.quantized(window), part);
      const auto vocab = static_cast<int64_t>(full.size() / part.size());
      for (size_t i = 0; i < part.size(); ++i) {
        const float* p = full.data() + static_cast<int64_t>(i) * vocab;
        const float* q = quantized.data() + static_cast<int64_t>(i) * vocab;
        const int32_t next = ids[static_cast<size_t>(part[i] + 1)];
        const LogitsDivergence d = compare_logits(p, q, vocab);
        kl += d.kl;
        excess += (d.q_log_total - static_cast<double>(q[next])) - (d.p_log_total - static_cast<double>(p[next]));
      }
    }
  }
  const int64_t count = windows * std::ssize(positions);
  return {{"kl", kl / static_cast<double>(count)},
          {"perplexity_ratio", std::exp(excess / static_cast<double>(count))},
          {"positions", count}};
}

}  // namespace

Json stream_errors(Device& device, const Streams& streams) {
  Json result = {{"calibration", nullptr}, {"held_out", nullptr}};
  if (!streams.has_full()) return result;
  result["calibration"] = mean_error(device, streams, 0, streams.fitted());
  if (streams.held_out() > 0) result["held_out"] = mean_error(device, streams, streams.fitted(), streams.held_out());
  return result;
}

Json stream_quality(const Model& ends, Device& device, const Streams& streams) {
  if (!streams.has_full() || streams.held_out() == 0 || streams.seq_len() < 2) return nullptr;
  const int64_t windows = std::min(streams.held_out(), streams.fitted());
  return {{"calibration", quality_of(ends, device, streams, streams.fitted() - windows, windows)},
          {"held_out", quality_of(ends, device, streams, streams.fitted(), streams.held_out())}};
}

}  // namespace paro::calib
