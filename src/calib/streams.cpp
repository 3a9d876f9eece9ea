#include "calib/streams.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"

namespace paro::calib {
namespace {

// Enough rows to keep the dense products busy.
constexpr int64_t kPartRows = 2048;

}  // namespace

Streams::Streams(const ModelConfig& config, std::vector<int32_t> ids, int64_t seq_len, bool with_full, int64_t held_out)
    : dim_(config.dim), seq_len_(seq_len), held_out_(held_out), ids_(std::move(ids)) {
  PARO_CHECK(seq_len > 0 && rows() > 0 && rows() % seq_len == 0 && fitted() > 0);
  const auto elements = static_cast<size_t>(rows() * dim_);
  try {
    quantized_.resize(elements);
    if (with_full) full_.resize(elements);
  } catch (const std::bad_alloc&) {
    fail_limit(
        "cannot allocate {} bytes for the hidden states of {} tokens; use fewer --samples or a shorter --seq-len",
        elements * sizeof(float) * (with_full ? 2 : 1), rows());
  }
  const int64_t together = std::min(rows() / seq_len, std::max<int64_t>(1, kPartRows / seq_len));
  for (int64_t i = 0; i < together; ++i) {
    caches_.push_back(make_cpu_cache(config, seq_len));
    segments_.push_back({caches_.back().get(), 0, seq_len});
  }
}

void Streams::embed(const Model& ends, Ops& ops) {
  for_each([&](const Part& part) { ends.embed(ops, part.batch, part.quantized); });
  if (has_full()) full_ = quantized_;
}

std::vector<int32_t> Streams::window(int64_t index) const {
  const auto begin = ids_.begin() + index * seq_len_;
  return {begin, begin + seq_len_};
}

void Streams::for_each(const std::function<void(const Part&)>& use) {
  const int64_t fitted_rows = fitted() * seq_len_;
  walk(0, fitted_rows, false, use);
  walk(fitted_rows, rows(), true, use);
}

void Streams::walk(int64_t begin, int64_t end, bool held_out, const std::function<void(const Part&)>& use) {
  const int64_t step = static_cast<int64_t>(segments_.size()) * seq_len_;
  for (int64_t first = begin; first < end; first += step) {
    const int64_t count = std::min(step, end - first);
    Part part;
    part.held_out = held_out;
    part.batch.ids = std::span(ids_).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    part.batch.segments = std::span(segments_).first(static_cast<size_t>(count / seq_len_));
    part.first_row = first;
    part.quantized = {quantized_.data() + first * dim_, count, dim_};
    if (has_full()) part.full = {full_.data() + first * dim_, count, dim_};
    use(part);
  }
}

}  // namespace paro::calib
