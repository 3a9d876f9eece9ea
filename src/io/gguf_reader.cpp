#include "io/gguf_reader.h"

#include "base/error.h"

namespace paro {
namespace {

enum ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBoolean = 7,
  kText = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

size_t least_bytes_of(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBoolean: return 1;
    case kU16:
    case kI16: return 2;
    case kU64:
    case kI64:
    case kF64:
    case kText: return 8;
    default: return 4;
  }
}

}  // namespace

void GgufReader::need(size_t size, const char* what) const {
  if (size > bytes_.size() - position_)
    fail_input("{}: truncated: expected {} ({} bytes) at byte {}, found {} bytes", place_, what, size, position_,
               bytes_.size() - position_);
}

int64_t GgufReader::count(uint64_t claimed, size_t least_bytes, const char* what) const {
  const size_t left = bytes_.size() - position_;
  if (claimed > left / least_bytes)
    fail_input("{}: {}: expected at most {} in the {} bytes that are left, found a count of {}", place_, what,
               left / least_bytes, left, claimed);
  return static_cast<int64_t>(claimed);
}

std::string GgufReader::text(const char* what) {
  const auto size = number<uint64_t>(what);
  if (size > bytes_.size() - position_)
    fail_input("{}: {}: a text of {} bytes at byte {} reaches beyond the file of {}", place_, what, size, position_,
               bytes_.size());
  std::string result(reinterpret_cast<const char*>(bytes_.data()) + position_, static_cast<size_t>(size));
  position_ += static_cast<size_t>(size);
  return result;
}

std::map<std::string, GgufValue> GgufReader::metadata(int64_t pairs) {
  std::map<std::string, GgufValue> result;
  for (int64_t i = 0; i < pairs; ++i) {
    std::string key = text("metadata key");
    const auto type = number<uint32_t>("type of a metadata value");
    GgufValue read = type == kArray ? GgufValue(array(key)) : value(type, key);
    if (!result.try_emplace(key, std::move(read)).second)
      fail_input("{}: metadata key \"{}\" is there twice", place_, key);
  }
  return result;
}

GgufValue GgufReader::value(uint32_t type, const std::string& key) {
  constexpr const char* kWhat = "metadata value";
  switch (type) {
    case kU8: return static_cast<uint64_t>(number<uint8_t>(kWhat));
    case kI8: return static_cast<int64_t>(number<int8_t>(kWhat));
    case kU16: return static_cast<uint64_t>(number<uint16_t>(kWhat));
    case kI16: return static_cast<int64_t>(number<int16_t>(kWhat));
    case kU32: return static_cast<uint64_t>(number<uint32_t>(kWhat));
    case kI32: return static_cast<int64_t>(number<int32_t>(kWhat));
    case kU64: return number<uint64_t>(kWhat);
    case kI64: return number<int64_t>(kWhat);
    case kF32: return static_cast<double>(number<float>(kWhat));
    case kF64: return number<double>(kWhat);
    case kBoolean: return number<uint8_t>(kWhat) != 0;
    case kText: return text(kWhat);
    case kArray: fail_input("{}: metadata \"{}\": arrays of arrays are not supported", place_, key);
    default: fail_input("{}: metadata \"{}\": unknown value type {}", place_, key, type);
  }
}

std::shared_ptr<const GgufArray> GgufReader::array(const std::string& key) {
  const auto type = number<uint32_t>("type of an array");
  const auto claimed = number<uint64_t>("length of an array");
  const int64_t length = count(claimed, least_bytes_of(type), "array");
  auto result = std::make_shared<GgufArray>();
  for (int64_t i = 0; i < length; ++i) {
    GgufValue element = value(type, key);
    if (auto* words = std::get_if<std::string>(&element)) {
      result->strings.push_back(std::move(*words));
    } else if (const auto* fraction = std::get_if<double>(&element)) {
      result->numbers.push_back(*fraction);
    } else if (const auto* natural = std::get_if<uint64_t>(&element)) {
      if (*natural > static_cast<uint64_t>(INT64_MAX))
        fail_input("{}: metadata \"{}\": element {} is out of range", place_, key, i);
      result->integers.push_back(static_cast<int64_t>(*natural));
    } else if (const auto* integer = std::get_if<int64_t>(&element)) {
      result->integers.push_back(*integer);
    } else {
      result->integers.push_back(std::get<bool>(element) ? 1 : 0);
    }
  }
  return result;
}

}  // namespace paro
