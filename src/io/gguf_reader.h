// Reads the head of a GGUF file: numbers, strings and metadata values, each checked against the bytes that are there
// before anything is allocated. Private to io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>

#include "io/gguf.h"

namespace paro {

class GgufReader {
 public:
  GgufReader(std::span<const std::byte> bytes, std::string place) : bytes_(bytes), place_(std::move(place)) {}

  template <typename T>
  T number(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  std::string text(const char* what);
  /// A count of things that take at least `least_bytes` each.
  int64_t count(uint64_t claimed, size_t least_bytes, const char* what) const;
  /// All `pairs` keys and values. Duplicate keys and nested arrays are refused.
  std::map<std::string, GgufValue> metadata(int64_t pairs);

  size_t position() const { return position_; }
  const std::string& place() const { return place_; }

 private:
  void need(size_t size, const char* what) const;
  GgufValue value(uint32_t type, const std::string& key);
  std::shared_ptr<const GgufArray> array(const std::string& key);

  std::span<const std::byte> bytes_;
  std::string place_;
  size_t position_ = 0;
};

}  // namespace paro
