#include "io/safetensors_header.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"

namespace paro {
namespace {

constexpr size_t kMaxDimensions = 16;

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DType type : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64, DType::kI32, DType::kI16,
                           DType::kI8, DType::kU8, DType::kBool})
    if (dtype_name(type) == name) return type;
  return std::nullopt;
}

/// Receives the parser's events. Depth 1: tensor names and __metadata__; depth 2: their fields; depth 3: number lists.
class HeaderEvents : public Json::json_sax_t {
 public:
  HeaderEvents(SafetensorsHeader& header, const std::string& place) : header_(header), place_(place) {}

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t&) override { unexpected("a number with a fraction"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool number_integer(number_integer_t value) override { return number(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) unexpected("a number out of range");
    return number(static_cast<int64_t>(value));
  }
  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[field_] = value;
    } else if (depth_ == 2 && field_ == "dtype" && !has_type_) {
      has_type_ = true;
      tensor().stored_type = value;
    } else {
      unexpected("a string");
    }
    return true;
  }
  bool start_object(size_t) override {
    if (depth_ > 1) unexpected("an object");
    if (depth_ == 1) {
      in_metadata_ = field_ == "__metadata__";
      has_type_ = has_shape_ = false;
      offsets_.clear();
      if (!in_metadata_) {
        header_.entries.emplace_back();
        tensor().name = field_;
      }
    }
    ++depth_;
    return true;
  }
  bool key(string_t& value) override {
    field_ = value;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) finish_tensor();
    return true;
  }
  bool start_array(size_t) override {
    const bool shape = field_ == "shape" && !has_shape_;
    const bool offsets = field_ == "data_offsets" && offsets_.empty();
    if (depth_ != 2 || in_metadata_ || !(shape || offsets)) unexpected("an array");
    has_shape_ |= shape;
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    fail_input("{}: header: not valid JSON at byte {}: {}", place_, position, error.what());
  }

 private:
  TensorInfo& tensor() { return header_.entries.back().info; }

  [[noreturn]] void unexpected(const char* found) const {
    if (depth_ == 0) fail_input("{}: header: expected a JSON object, found {}", place_, found);
    if (depth_ == 1) fail_input("{}: tensor \"{}\": expected an object, found {}", place_, field_, found);
    const std::string& owner = in_metadata_ ? std::string("__metadata__") : header_.entries.back().info.name;
    fail_input("{}: tensor \"{}\": unexpected or repeated \"{}\" with {}", place_, owner, field_, found);
  }

  bool number(int64_t value) {
    if (depth_ != 3) unexpected("a number");
    std::vector<int64_t>& list = field_ == "shape" ? tensor().shape : offsets_;
    if (value < 0) fail_input("{}: tensor \"{}\": negative number {} in \"{}\"", place_, tensor().name, value, field_);
    if (list.size() >= kMaxDimensions)
      fail_input("{}: tensor \"{}\": more than {} numbers in \"{}\"", place_, tensor().name, kMaxDimensions, field_);
    list.push_back(value);
    return true;
  }

  void finish_tensor() {
    TensorInfo& info = tensor();
    if (!has_type_ || !has_shape_ || offsets_.size() != 2)
      fail_input("{}: tensor \"{}\": expected \"dtype\", \"shape\" and two \"data_offsets\"", place_, info.name);
    const std::optional<DType> type = dtype_from_name(info.stored_type);
    if (!type) fail_input("{}: tensor \"{}\": type {} is not supported", place_, info.name, info.stored_type);
    info.dtype = *type;
    int64_t bytes = dtype_size(*type);
    bool overflow = false;
    for (const int64_t dimension : info.shape) overflow |= __builtin_mul_overflow(bytes, dimension, &bytes);
    // An overflow hidden by a later zero is an absurd shape all the same.
    if (overflow) fail_input("{}: tensor \"{}\": shape {} is too large", place_, info.name, shape_text(info.shape));
    if (offsets_[1] < offsets_[0] || offsets_[1] - offsets_[0] != bytes)
      fail_input("{}: tensor \"{}\": expected {} bytes for {} {}, found data_offsets [{}, {}]", place_, info.name,
                 bytes, info.stored_type, shape_text(info.shape), offsets_[0], offsets_[1]);
    info.stored_bytes = bytes;
    header_.entries.back().begin = offsets_[0];
  }

  SafetensorsHeader& header_;
  const std::string& place_;
  int depth_ = 0;
  std::string field_;
  bool in_metadata_ = false;
  bool has_type_ = false;
  bool has_shape_ = false;
  std::vector<int64_t> offsets_;
};

void check_layout(std::vector<SafetensorsHeader::Entry>& entries, int64_t data_bytes, const std::string& place) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.info.stored_bytes) < std::pair(b.begin, b.info.stored_bytes);
  });
  int64_t end = 0;
  for (const auto& [info, begin] : entries) {
    if (begin > data_bytes - info.stored_bytes)
      fail_input("{}: tensor \"{}\": expected its data within {} bytes, found it at {} to {}", place, info.name,
                 data_bytes, begin, begin + info.stored_bytes);
    if (begin != end)
      fail_input("{}: tensor \"{}\": its data {}: expected offset {}, found {}", place, info.name,
                 begin < end ? "overlaps another tensor's" : "leaves a hole before it", end, begin);
    end = begin + info.stored_bytes;
  }
  if (end != data_bytes) fail_input("{}: expected {} bytes of data, found {}", place, end, data_bytes);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, int64_t data_bytes, const std::string& place) {
  SafetensorsHeader header;
  HeaderEvents events(header, place);
  Json::sax_parse(text.begin(), text.end(), &events);
  check_layout(header.entries, data_bytes, place);
  const auto by_name = [](const auto& a, const auto& b) { return a.info.name < b.info.name; };
  std::sort(header.entries.begin(), header.entries.end(), by_name);
  for (size_t i = 1; i < header.entries.size(); ++i)
    if (header.entries[i].info.name == header.entries[i - 1].info.name)
      fail_input("{}: tensor \"{}\" is there twice", place, header.entries[i].info.name);
  return header;
}

}  // namespace paro
