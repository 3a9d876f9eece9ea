#include "calib/streams.h"

#include <algorithm>
#include <new>

#include "base/error.h"

namespace paro::calib {
Streams::Streams(const ModelConfig& config, std::vector<int32_t> ids, int64_t seq_len, bool with_full, Device& device,
                 int64_t held_out, const StateSpill& spill)
    : dim_(config.dim), seq_len_(seq_len), held_out_(held_out), ids_(std::move(ids)), device_(device) {
  PARO_CHECK(seq_len > 0 && rows() > 0 && rows() % seq_len == 0 && fitted() > 0);
  const int64_t elements = rows() * dim_;
  const int64_t bytes = elements * static_cast<int64_t>(sizeof(float)) * (with_full ? 2 : 1);
  try {
    quantized_ = device.allocate_states(elements, bytes, spill);
    if (with_full) full_ = device.allocate_states(elements, bytes, spill);
  } catch (const std::bad_alloc&) {
    fail_limit(
        "cannot allocate {} bytes for the hidden states of {} tokens; use fewer --samples or a shorter --seq-len",
        bytes, rows());
  }
  const int64_t together = std::min(rows() / seq_len, std::max<int64_t>(1, device.rows_of_step(config) / seq_len));
  for (int64_t i = 0; i < together; ++i) {
    caches_.push_back(device.make_cache(config, seq_len));
    segments_.push_back({caches_.back().get(), 0, seq_len});
  }
}

void Streams::embed(const Model& ends, const Model* full_ends) {
  for_each([&](const Part& part) { ends.embed(device_.ops(), part.batch, part.quantized); });
  if (has_full() && full_ends != nullptr) {
    for_each([&](const Part& part) { full_ends->embed(device_.ops(), part.batch, part.full); });
    return;
  }
  if (has_full()) device_.copy(quantized_.get(), rows() * dim_, full_.get());
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
    part.quantized = {quantized_.get() + first * dim_, count, dim_};
    if (has_full()) part.full = {full_.get() + first * dim_, count, dim_};
    use(part);
  }
}

}  // namespace paro::calib
