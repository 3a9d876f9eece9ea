#include "base/error.h"
#include "io/gguf.h"

namespace paro {
namespace {

const GgufValue* lookup(const std::map<std::string, GgufValue>& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  return it == metadata.end() ? nullptr : &it->second;
}

[[noreturn]] void fail_type(const GgufFile& file, const std::string& key, const char* expected) {
  fail_input("{}: metadata \"{}\": expected {}, found another type", file.path().string(), key, expected);
}

}  // namespace

int64_t GgufFile::integer(const std::string& key, int64_t fallback) const {
  const GgufValue* value = lookup(metadata_, key);
  if (value == nullptr) return fallback;
  if (const auto* integer = std::get_if<int64_t>(value)) return *integer;
  if (const auto* natural = std::get_if<uint64_t>(value)) {
    if (*natural <= static_cast<uint64_t>(INT64_MAX)) return static_cast<int64_t>(*natural);
    fail_input("{}: metadata \"{}\": {} is out of range", path().string(), key, *natural);
  }
  fail_type(*this, key, "an integer");
}

int64_t GgufFile::integer(const std::string& key) const {
  if (lookup(metadata_, key) == nullptr) fail_input("{}: metadata \"{}\" is missing", path().string(), key);
  return integer(key, 0);
}

double GgufFile::number(const std::string& key, double fallback) const {
  const GgufValue* value = lookup(metadata_, key);
  if (value == nullptr) return fallback;
  if (const auto* number = std::get_if<double>(value)) return *number;
  return static_cast<double>(integer(key, 0));
}

bool GgufFile::boolean(const std::string& key, bool fallback) const {
  const GgufValue* value = lookup(metadata_, key);
  if (value == nullptr) return fallback;
  if (const auto* boolean = std::get_if<bool>(value)) return *boolean;
  fail_type(*this, key, "true or false");
}

std::string GgufFile::string(const std::string& key, const std::string& fallback) const {
  const GgufValue* value = lookup(metadata_, key);
  if (value == nullptr) return fallback;
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  fail_type(*this, key, "a text");
}

const GgufArray* GgufFile::array(const std::string& key) const {
  const GgufValue* value = lookup(metadata_, key);
  if (value == nullptr) return nullptr;
  if (const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(value)) return array->get();
  fail_type(*this, key, "an array");
}

}  // namespace paro
