#include "base/json.h"

#include <cmath>

#include "base/error.h"
#include "base/files.h"

namespace paro {
namespace {

constexpr int kMaxDepth = 200;

const Json* lookup(const Json& object, const char* key, const std::string& place) {
  if (!object.is_object()) fail_input("{}: expected an object with \"{}\", found {}", place, key, json_kind(object));
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

const Json& require(const Json& object, const char* key, const std::string& place) {
  const Json* value = lookup(object, key, place);
  if (value == nullptr) fail_input("{}: \"{}\" is missing", place, key);
  return *value;
}

int64_t as_int(const Json& value, const char* key, const std::string& place) {
  if (value.is_number_integer()) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
      fail_input("{}: \"{}\" is out of range", place, key);
    return value.get<int64_t>();
  }
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::abs(number) < 9e15 && number == std::floor(number)) return static_cast<int64_t>(number);
  }
  fail_input("{}: \"{}\": expected an integer, found {}", place, key, json_kind(value));
}

std::string as_string(const Json& value, const char* key, const std::string& place) {
  if (!value.is_string()) fail_input("{}: \"{}\": expected a string, found {}", place, key, json_kind(value));
  return value.get<std::string>();
}

}  // namespace

Json parse_json(std::string_view text, const std::string& place) {
  const auto bounded = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) fail_input("{}: nested deeper than {} levels", place, kMaxDepth);
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), bounded);
  } catch (const Json::exception& error) {
    fail_input("{}: not valid JSON: {}", place, error.what());
  }
}

Json read_json(const std::filesystem::path& path, int64_t max_bytes) {
  return parse_json(read_file(path, max_bytes), path.string());
}

int64_t json_int(const Json& object, const char* key, const std::string& place) {
  return as_int(require(object, key, place), key, place);
}

int64_t json_int(const Json& object, const char* key, int64_t fallback, const std::string& place) {
  const Json* value = lookup(object, key, place);
  return value == nullptr ? fallback : as_int(*value, key, place);
}

double json_number(const Json& object, const char* key, double fallback, const std::string& place) {
  const Json* value = lookup(object, key, place);
  if (value == nullptr) return fallback;
  if (!value->is_number()) fail_input("{}: \"{}\": expected a number, found {}", place, key, json_kind(*value));
  return value->get<double>();
}

bool json_bool(const Json& object, const char* key, bool fallback, const std::string& place) {
  const Json* value = lookup(object, key, place);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail_input("{}: \"{}\": expected true or false, found {}", place, key, json_kind(*value));
  return value->get<bool>();
}

std::string json_string(const Json& object, const char* key, const std::string& place) {
  return as_string(require(object, key, place), key, place);
}

std::string json_string(const Json& object, const char* key, const std::string& fallback, const std::string& place) {
  const Json* value = lookup(object, key, place);
  return value == nullptr ? fallback : as_string(*value, key, place);
}

std::string_view json_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return "an array";
    case Json::value_t::string: return "a string";
    case Json::value_t::boolean: return "a boolean";
    default: return value.is_number_float() ? "a number with a fraction" : "an integer";
  }
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace paro
