#include "calib/stream_quality.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "calib/verify.h"

namespace paro::calib {
namespace {

// Rows of logits at a time: bounded by memory, enough for the head's product.
constexpr int64_t kRows = 64;

double mean_error(const Streams& streams, int64_t first, int64_t windows) {
  double sum = 0.0;
  for (int64_t window = first; window < first + windows; ++window) {
    const float* full = streams.full(window);
    const float* quantized = streams.quantized(window);
    for (int64_t row = 0; row < streams.seq_len(); ++row) {
      double error = 0.0;
      double energy = 1e-30;
      for (int64_t i = row * streams.dim(); i < (row + 1) * streams.dim(); ++i) {
        const double f = full[i];
        const double d = static_cast<double>(quantized[i]) - f;
        error += d * d;
        energy += f * f;
      }
      sum += error / energy;
    }
  }
  return sum / static_cast<double>(windows * streams.seq_len());
}

/// Positions that have a next token, spread evenly.
std::vector<int64_t> some_positions(int64_t seq_len) {
  const int64_t count = std::min(kQualityPositions, seq_len - 1);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < count; ++i) positions.push_back(i * (seq_len - 1) / count);
  return positions;
}

std::vector<float> logits_of(const Model& ends, Ops& ops, const float* hidden, int64_t dim,
                             std::span<const int64_t> positions) {
  std::vector<float> x;
  for (const int64_t position : positions) x.insert(x.end(), hidden + position * dim, hidden + (position + 1) * dim);
  std::vector<int64_t> rows(positions.size());
  std::iota(rows.begin(), rows.end(), 0);
  const OpsScope scope(ops);
  const Tensor logits = ends.logits(ops, {x.data(), std::ssize(positions), dim}, rows);
  return {logits.f32(), logits.f32() + logits.rows * logits.dim};
}

Json quality_of(const Model& ends, Ops& ops, const Streams& streams, int64_t first, int64_t windows) {
  const std::vector<int64_t> positions = some_positions(streams.seq_len());
  double kl = 0.0;
  double excess = 0.0;  // negative log-likelihood, quantized minus full
  for (int64_t window = first; window < first + windows; ++window) {
    const std::vector<int32_t> ids = streams.window(window);
    for (size_t begin = 0; begin < positions.size(); begin += kRows) {
      const auto part = std::span(positions).subspan(begin, std::min<size_t>(kRows, positions.size() - begin));
      const std::vector<float> full = logits_of(ends, ops, streams.full(window), streams.dim(), part);
      const std::vector<float> quantized = logits_of(ends, ops, streams.quantized(window), streams.dim(), part);
      const auto vocab = static_cast<int64_t>(full.size() / part.size());
      for (size_t i = 0; i < part.size(); ++i) {
        const float* p = full.data() + static_cast<int64_t>(i) * vocab;
        const float* q = quantized.data() + static_cast<int64_t>(i) * vocab;
        const int32_t next = ids[static_cast<size_t>(part[i] + 1)];
        kl += divergence_of_logits(p, q, vocab);
        excess += negative_log_likelihood(q, vocab, next) - negative_log_likelihood(p, vocab, next);
      }
    }
  }
  const int64_t count = windows * std::ssize(positions);
  return {{"kl", kl / static_cast<double>(count)},
          {"perplexity_ratio", std::exp(excess / static_cast<double>(count))},
          {"positions", count}};
}

}  // namespace

Json stream_errors(const Streams& streams) {
  Json result = {{"calibration", nullptr}, {"held_out", nullptr}};
  if (!streams.has_full()) return result;
  result["calibration"] = mean_error(streams, 0, streams.fitted());
  if (streams.held_out() > 0) result["held_out"] = mean_error(streams, streams.fitted(), streams.held_out());
  return result;
}

Json stream_quality(const Model& ends, Ops& ops, const Streams& streams) {
  if (!streams.has_full() || streams.held_out() == 0 || streams.seq_len() < 2) return nullptr;
  const int64_t windows = std::min(streams.held_out(), streams.fitted());
  return {{"calibration", quality_of(ends, ops, streams, streams.fitted() - windows, windows)},
          {"held_out", quality_of(ends, ops, streams, streams.fitted(), streams.held_out())}};
}

}  // namespace paro::calib
