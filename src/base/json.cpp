#include "base/json.h"

#include <cmath>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"

namespace paro {
namespace {

constexpr size_t kMaxDepth = 200;

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

// Builds the document from parser events. The library's own builder looks each key up in a list, which takes minutes
// for an object of 100 000 keys (a vocabulary); this one appends, and drops repeated keys when the object ends.
class Builder {
 public:
  explicit Builder(const std::string& place) : place_(place) {}
  Json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool key(std::string& value) {
    open_.back().key = std::move(value);
    return true;
  }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() {
    drop_repeated_keys(entries(open_.back().value));
    return close();
  }
  bool end_array() { return close(); }
  bool parse_error(size_t, const std::string&, const Json::exception& error) {
    fail_input("{}: not valid JSON: {}", place_, error.what());
  }

 private:
  using Entries = Json::object_t::Container;
  struct Open {
    Json value;
    std::string key;  // of the member that comes next
  };

  static Entries& entries(Json& object) { return object.get_ref<Json::object_t&>(); }

  bool open(Json value) {
    if (open_.size() >= kMaxDepth) fail_input("{}: nested deeper than {} levels", place_, kMaxDepth);
    open_.push_back({std::move(value), {}});
    return true;
  }

  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  bool add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Json& parent = open_.back().value; parent.is_array()) {
      parent.push_back(std::move(value));
    } else {
      entries(parent).emplace_back(std::move(open_.back().key), std::move(value));
    }
    return true;
  }

  static void drop_repeated_keys(Entries& list) {
    std::unordered_map<std::string_view, size_t> last;
    last.reserve(list.size());
    for (size_t i = 0; i < list.size(); ++i) last[list[i].first] = i;
    if (last.size() == list.size()) return;
    Entries kept;
    std::vector<std::pair<size_t, size_t>> order;  // where a key first stood, where it stood last
    std::unordered_map<std::string_view, bool> seen;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!seen[list[i].first]) order.emplace_back(i, last[list[i].first]);
      seen[list[i].first] = true;
    }
    for (const auto& [first, final] : order) kept.emplace_back(list[first].first, std::move(list[final].second));
    list = std::move(kept);
  }

  const std::string& place_;
  Json root_;
  std::vector<Open> open_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& place) {
  Builder builder(place);
  try {
    if (!Json::sax_parse(text.begin(), text.end(), &builder)) fail_input("{}: not valid JSON", place);
    return builder.take();
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
