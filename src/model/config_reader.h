// Reads bounded values out of config.json: what parsing a model's config needs beyond base/json.h.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"

namespace paro {

class ConfigReader {
 public:
  /// Both must outlive the reader. `place` names the file (and, for a nested object, the key) in errors.
  ConfigReader(const Json& object, std::string place);

  /// nullptr when the key is absent or null.
  const Json* find(const char* key) const;
  bool has(const char* key) const { return find(key) != nullptr; }
  /// Written as null, which for transformers differs from absent (sliding_window).
  bool is_null(const char* key) const;

  /// An integer in low..high; Error{kInput} when missing, of another type or outside.
  int64_t integer(const char* key, int64_t low, int64_t high) const;
  int64_t integer(const char* key, int64_t fallback, int64_t low, int64_t high) const;
  /// A finite number above `low`.
  double number(const char* key, double low) const;
  double number(const char* key, double fallback, double low) const;
  bool boolean(const char* key, bool fallback) const { return json_bool(object_, key, fallback, place_); }
  std::string text(const char* key, const std::string& fallback) const {
    return json_string(object_, key, fallback, place_);
  }
  const std::string& place() const { return place_; }

 private:
  const Json& object_;
  std::string place_;
};

}  // namespace paro
