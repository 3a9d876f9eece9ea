#include "model/config_reader.h"

#include <cmath>
#include <utility>

#include "base/error.h"

namespace paro {

ConfigReader::ConfigReader(const Json& object, std::string place) : object_(object), place_(std::move(place)) {
  if (!object.is_object()) fail_input("{}: expected an object, found {}", place_, json_kind(object));
}

const Json* ConfigReader::find(const char* key) const {
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

bool ConfigReader::is_null(const char* key) const {
  const auto it = object_.find(key);
  return it != object_.end() && it->is_null();
}

int64_t ConfigReader::integer(const char* key, int64_t low, int64_t high) const {
  const int64_t value = json_int(object_, key, place_);
  if (value < low || value > high) fail_input("{}: \"{}\": expected {} to {}, found {}", place_, key, low, high, value);
  return value;
}

int64_t ConfigReader::integer(const char* key, int64_t fallback, int64_t low, int64_t high) const {
  return has(key) ? integer(key, low, high) : fallback;
}

double ConfigReader::number(const char* key, double low) const {
  if (!has(key)) fail_input("{}: \"{}\" is missing", place_, key);
  return number(key, 0.0, low);
}

double ConfigReader::number(const char* key, double fallback, double low) const {
  if (!has(key)) return fallback;
  const double value = json_number(object_, key, fallback, place_);
  if (!std::isfinite(value) || value <= low)
    fail_input("{}: \"{}\": expected a finite number above {}, found {}", place_, key, low, value);
  return value;
}

}  // namespace paro
