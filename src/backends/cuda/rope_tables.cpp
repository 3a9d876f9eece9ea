#include "backends/cuda/rope_tables.h"

#include <algorithm>
#include <map>
#include <utility>

namespace paro {
namespace {

// Kinds of batches at a time: whole parts, the last one, a few ropes.
constexpr size_t kMostEntries = 8;

}  // namespace

CudaRopeTables::Table CudaRopeTables::get(const CudaContext& context, const Rope& rope, const Batch& batch) {
  const auto half = static_cast<size_t>(rope.half());
  std::vector<int64_t> key;
  for (const Segment& segment : batch.segments) {
    key.push_back(segment.start);
    key.push_back(segment.rows);
  }
  const Segment& last = batch.segments.back();
  std::vector<float> sample(2 * half);
  rope.fill(last.start + last.rows - 1, last.start + last.rows, sample.data(), sample.data() + half);
  for (const Entry& entry : entries_)
    if (entry.rope == &rope && entry.key == key && entry.sample == sample)
      return {entry.cosine.data(), entry.sine.data(), entry.row.data()};

  Entry entry{&rope, std::move(key), std::move(sample), {}, {}, {}};
  std::vector<float> cosine, sine;
  std::vector<int32_t> row;
  std::map<std::pair<int64_t, int64_t>, size_t> seen;  // segments alike share their entries
  for (const Segment& segment : batch.segments) {
    const auto [at, fresh] = seen.try_emplace({segment.start, segment.rows}, cosine.size() / half);
    for (int64_t i = 0; i < segment.rows; ++i)
      row.push_back(static_cast<int32_t>(at->second) + static_cast<int32_t>(i));
    if (!fresh) continue;
    const size_t before = cosine.size();
    cosine.resize(before + static_cast<size_t>(segment.rows) * half);
    sine.resize(cosine.size());
    for (int64_t i = 0; i < segment.rows; ++i) {
      const size_t place = before + static_cast<size_t>(i) * half;
      rope.fill(segment.start + i, segment.start + segment.rows, cosine.data() + place, sine.data() + place);
    }
  }
  entry.cosine = DeviceArray<float>(context, std::ssize(cosine));
  entry.cosine.from_host(cosine.data());
  entry.sine = DeviceArray<float>(context, std::ssize(sine));
  entry.sine.from_host(sine.data());
  entry.row = DeviceArray<int32_t>(context, std::ssize(row));
  entry.row.from_host(row.data());
  if (entries_.size() == kMostEntries) entries_.erase(entries_.begin());
  entries_.push_back(std::move(entry));
  const Entry& made = entries_.back();
  return {made.cosine.data(), made.sine.data(), made.row.data()};
}

}  // namespace paro
