#include "calib/self_text.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

// Rows of a decode step: enough for the products to be bound by arithmetic.
constexpr int64_t kSequencesTogether = 64;
constexpr int kAttempts = 3;
constexpr int64_t kGram = 8;

int32_t draw(const float* logits, int64_t vocab, double uniform) {
  const float max = *std::max_element(logits, logits + vocab);
  if (!std::isfinite(max)) fail_input("sampling calibration text: the model's logits are not finite");
  double total = 0.0;
  for (int64_t i = 0; i < vocab; ++i) total += std::exp(logits[i] - max);
  double rest = uniform * total;
  for (int64_t i = 0; i < vocab; ++i) {
    rest -= std::exp(logits[i] - max);
    if (rest <= 0.0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(vocab - 1);
}

bool repeats_itself(std::span<const int32_t> ids) {
  const int64_t grams = std::ssize(ids) - kGram + 1;
  if (grams < 2 * kGram) return false;
  std::set<std::vector<int32_t>> distinct;
  for (int64_t i = 0; i < grams; ++i) distinct.emplace(ids.begin() + i, ids.begin() + i + kGram);
  return 2 * std::ssize(distinct) < grams;
}

/// Draws the sequences named by `which` side by side into ids; false when cancelled.
bool sample_together(const Model& model, Ops& ops, std::span<const int32_t> starts, const SelfTextOptions& options,
                     std::span<const int64_t> which, int attempt, std::vector<int32_t>& ids, Progress& progress) {
  const auto count = static_cast<int64_t>(which.size());
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<Segment> segments;
  std::vector<int32_t> last;
  std::vector<Random> randoms;
  std::vector<int64_t> rows;
  for (const int64_t sequence : which) {
    caches.push_back(make_cpu_cache(model.config, options.length));
    segments.push_back({caches.back().get(), 0, 1});
    last.push_back(starts[static_cast<size_t>(sequence) % starts.size()]);
    randoms.emplace_back(options.seed, static_cast<uint64_t>(sequence), static_cast<uint64_t>(attempt));
    rows.push_back(std::ssize(rows));
  }
  ThreadPool& pool = thread_pool_of(ops);
  for (int64_t position = 0; position < options.length; ++position) {
    if (options.cancel != nullptr && options.cancel->load()) return false;
    const OpsScope scope(ops);
    for (Segment& segment : segments) segment.start = position;
    const Tensor logits = model.forward(ops, {last, segments}, rows);
    pool.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int32_t id = draw(logits.f32() + i * logits.dim, logits.dim, randoms[static_cast<size_t>(i)].uniform());
        last[static_cast<size_t>(i)] = id;
        ids[static_cast<size_t>(which[static_cast<size_t>(i)] * options.length + position)] = id;
      }
    });
    progress.advance(attempt == 0 ? count : 0);
  }
  return true;
}

}  // namespace

std::vector<int32_t> sample_text(const Model& model, Ops& ops, std::span<const int32_t> starts,
                                 const SelfTextOptions& options) {
  PARO_CHECK(!starts.empty() && options.samples > 0 && options.length > 0);
  std::vector<int32_t> ids(static_cast<size_t>(options.samples * options.length));
  Progress progress("sampling text", options.samples * options.length);
  std::vector<int64_t> wanted;
  for (int64_t i = 0; i < options.samples; ++i) wanted.push_back(i);
  for (int attempt = 0; attempt < kAttempts && !wanted.empty(); ++attempt) {
    for (size_t first = 0; first < wanted.size(); first += kSequencesTogether) {
      const auto together =
          std::span(wanted).subspan(first, std::min<size_t>(kSequencesTogether, wanted.size() - first));
      if (!sample_together(model, ops, starts, options, together, attempt, ids, progress)) return {};
    }
    std::erase_if(wanted, [&](int64_t i) {
      return !repeats_itself(
          std::span(ids).subspan(static_cast<size_t>(i * options.length), static_cast<size_t>(options.length)));
    });
  }
  if (!wanted.empty())
    log_warning("{} of {} sampled sequences repeat themselves even in the third attempt; text from files is better",
                wanted.size(), options.samples);
  return ids;
}

}  // namespace paro::calib
