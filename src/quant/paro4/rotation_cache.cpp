#include "quant/paro4/rotation_cache.h"

#include <algorithm>
#include <mutex>
#include <string_view>
#include <unordered_map>

namespace paro {
namespace {

template <typename T>
size_t content_hash(const std::vector<T>& values) {
  return std::hash<std::string_view>{}({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

size_t content_hash(const PairRotation& r) {
  return content_hash(r.theta) * 31 + content_hash(r.pairs) * 17 + content_hash(r.channel_scales) +
         static_cast<size_t>(r.in * 1000003 + r.group_size);
}

/// Rotations that do nothing are one, whatever pairs their angles of 0 stand with.
PairRotation without_idle_rounds(const PairRotation& rotation) {
  if (!is_identity(rotation)) return rotation;
  return {rotation.in, rotation.group_size, 0, {}, {}, rotation.channel_scales};
}

}  // namespace

std::shared_ptr<const SharedRotation> shared_tables(const PairRotation& given, const std::vector<int32_t>& order) {
  const PairRotation rotation = without_idle_rounds(given);
  static std::mutex mutex;
  static std::unordered_multimap<size_t, std::weak_ptr<const SharedRotation>> living;
  const size_t hash = content_hash(rotation) + content_hash(order) * 13;
  const std::lock_guard lock(mutex);
  auto [at, end] = living.equal_range(hash);
  while (at != end) {
    if (auto found = at->second.lock()) {
      if (found->rotation == rotation && found->order == order) return found;
      ++at;
    } else {
      at = living.erase(at);
    }
  }
  auto made = std::make_shared<SharedRotation>();
  made->rotation = rotation;
  made->order = order;
  made->tables = make_rotation_tables(rotation.in, rotation.group_size, rotation.rounds, rotation.theta.data(),
                                      rotation.pairs.data(), rotation.channel_scales.data());
  living.emplace(hash, made);
  return made;
}

}  // namespace paro
