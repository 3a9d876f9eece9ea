#include "backends/cpu/rope_tables.h"

#include "base/error.h"

namespace paro {
namespace {

bool same_positions(const std::vector<int64_t>& key, const Batch& batch) {
  if (key.size() != batch.segments.size() * 2) return false;
  for (size_t i = 0; i < batch.segments.size(); ++i)
    if (key[2 * i] != batch.segments[i].start || key[2 * i + 1] != batch.segments[i].rows) return false;
  return true;
}

}  // namespace

void RopeTables::clear() {
  for (Entry& entry : entries_) entry.rope = nullptr;
}

RopeTables::Table RopeTables::get(ThreadPool& pool, const Rope& rope, const Batch& batch) {
  const int64_t half = rope.half();
  const int64_t rows = batch.rows();
  Entry* entry = nullptr;
  for (Entry& candidate : entries_) {
    if (candidate.rope == &rope && same_positions(candidate.key, batch))
      return {candidate.values.data(), candidate.values.data() + rows * half};
    if (candidate.rope == nullptr || candidate.rope == &rope) entry = &candidate;
  }
  if (entry == nullptr) entry = &entries_.emplace_back();
  entry->rope = &rope;
  entry->key.clear();
  for (const Segment& segment : batch.segments) {
    entry->key.push_back(segment.start);
    entry->key.push_back(segment.rows);
  }
  const auto size = static_cast<size_t>(2 * rows * half);
  if (entry->values.size() < size) entry->values.resize(size);
  float* cos = entry->values.data();
  float* sin = cos + rows * half;
  int64_t first = 0;
  for (const Segment& segment : batch.segments) {
    pool.parallel_for(segment.rows, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        rope.fill(segment.start + i, segment.start + segment.rows, cos + (first + i) * half, sin + (first + i) * half);
    });
    first += segment.rows;
  }
  PARO_CHECK(first == rows);
  return {cos, sin};
}

}  // namespace paro
