#include "quant/row_table/row_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "quant/dense/dense_linear.h"
#include "quant/paro4/packed_weight.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/read_tensors.h"
#include "quant/paro4/rounded_rows.h"
#include "quant/paro4/write_tensors.h"

namespace paro {
namespace {

constexpr int64_t kGroup = kRoundedInt4Group;
static_assert(kRowTableInputs == 2 * kGroup);
constexpr int64_t kRangeRows = 64;

int nibble(const std::byte* bytes, int64_t index) {
  return (std::to_integer<int>(bytes[index / 2]) >> (index % 2 * 4)) & 15;
}

std::vector<uint8_t> pack_nibbles(const std::vector<uint8_t>& values) {
  std::vector<uint8_t> packed(values.size() / 2);
  for (size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<uint8_t>(values[2 * i] | values[2 * i + 1] << 4);
  return packed;
}

/// Rows of a 4-bit table as the packing wants them.
RoundedRows unpacked_rows(const RowTable& table, int64_t begin, int64_t end) {
  const int64_t groups = table.in / kGroup;
  RoundedRows rows;
  rows.codes.resize(static_cast<size_t>((end - begin) * table.in));
  rows.zeros.resize(static_cast<size_t>((end - begin) * groups));
  rows.scales.assign(table.scales.get() + begin * groups, table.scales.get() + end * groups);
  for (size_t i = 0; i < rows.codes.size(); ++i)
    rows.codes[i] = static_cast<uint8_t>(nibble(table.codes.view.data, begin * table.in + static_cast<int64_t>(i)));
  for (size_t i = 0; i < rows.zeros.size(); ++i)
    rows.zeros[i] = static_cast<uint8_t>(nibble(table.zeros.view.data, begin * groups + static_cast<int64_t>(i)));
  return rows;
}

void round_row8(const float* row, int64_t in, int8_t* codes, uint16_t& scale) {
  float largest = 0.0f;
  for (int64_t i = 0; i < in; ++i) largest = std::max(largest, std::abs(row[i]));
  scale = f32_to_f16(largest / 127.0f);
  // Codes are of the scale as it is stored.
  const float stored = f16_to_f32(scale);
  for (int64_t i = 0; i < in; ++i)
    codes[i] =
        stored == 0.0f ? int8_t{0} : static_cast<int8_t>(std::clamp(std::nearbyint(row[i] / stored), -127.0f, 127.0f));
}

}  // namespace

int64_t RowTable::row_bytes() const { return bits == 8 ? in + 2 : in / 2 + in / kGroup * 2 + in / kRowTableInputs; }

void RowTable::copy_row(int64_t row, float* out) const {
  if (bits == 8) {
    const std::byte* from = codes.view.data + row * in;
    for (int64_t i = 0; i < in; ++i) out[i] = static_cast<float>(std::to_integer<int8_t>(from[i])) * scales[row];
    return;
  }
  for (int64_t i = 0; i < in; ++i) {
    const int64_t group = (row * in + i) / kGroup;
    const int code = nibble(codes.view.data, row * in + i) - nibble(zeros.view.data, group);
    out[i] = static_cast<float>(code) * scales[group];
  }
}

bool is_row_table(const WeightSource& source, const std::string& name) {
  const TensorInfo* info = source.find(name + ".qweight");
  return info != nullptr && (info->dtype == DType::kI8 || info->dtype == DType::kU8);
}

RowTable read_row_table(const WeightSource& source, const std::string& name, int64_t rows, int64_t in) {
  const std::string codes = name + ".qweight";
  RowTable table;
  table.bits = source.require(codes).dtype == DType::kI8 ? 8 : 4;
  table.rows = rows;
  table.in = in;
  if (table.bits == 4 && in % kRowTableInputs != 0)
    fail_input("{}: {}: a table of 4 bits needs a multiple of {} inputs; the model asks for {}", source.place(codes),
               codes, kRowTableInputs, in);
  table.codes = table.bits == 8 ? load_typed(source, codes, DType::kI8, {rows, in})
                                : load_typed(source, codes, DType::kU8, {rows, in / 2});
  if (table.bits == 4) table.zeros = load_typed(source, name + ".qzeros", DType::kU8, {rows, in / kRowTableInputs});
  const auto scales = std::make_shared<const std::vector<float>>(
      load_floats(source, name + ".scales",
                  table.bits == 8 ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, in / kGroup}));
  table.scales = {scales, scales->data()};
  return table;
}

std::unique_ptr<CpuLinear> load_row_table_linear(const WeightSource& source, const std::string& name, int64_t out,
                                                 int64_t in, const LoadHelp& help) {
  const RowTable table = read_row_table(source, name, out, in);
  std::unique_ptr<CpuLinear> linear;
  if (table.bits == 8) {
    linear = make_int8_linear(table.codes, {table.scales.get(), table.scales.get() + out});
  } else {
    PackedInt4 packed;
    packed.in = in;
    packed.out = out;
    packed.group_size = kGroup;
    const std::string codes = name + ".qweight", meta = name + ".scales";
    if (!find_packed(help.prepared, codes, meta, packed)) {
      allocate_packed(packed);
      pack_rows(packed, help.pool, [&](int64_t begin, int64_t end) { return unpacked_rows(table, begin, end); });
      keep_packed(help.prepared, codes, meta, packed);
    }
    linear = make_paro4_linear({std::move(packed), {}, identity_rotation(in, kGroup), {}, {}});
  }
  linear->name = name;
  return linear;
}

RowTableBytes round_row_table(const TensorView& weight, int64_t bits, ThreadPool& pool, const std::string& place) {
  RowTableBytes table;
  table.bits = bits;
  table.rows = weight.shape[0];
  table.in = weight.shape[1];
  const int64_t in = table.in;
  const auto place_finite = [&](float value, int64_t row) {
    if (!std::isfinite(value)) fail_input("{}: row {}: expected finite values, found {}", place, row, value);
  };
  if (bits == 4) {
    PARO_CHECK(in % kRowTableInputs == 0);
    const int64_t groups = in / kGroup;
    table.codes.resize(static_cast<size_t>(table.rows * in / 2));
    table.zeros.resize(static_cast<size_t>(table.rows * groups / 2));
    table.scales.resize(static_cast<size_t>(table.rows * groups));
    pool.parallel_for(table.rows, kRangeRows, [&](int64_t begin, int64_t end) {
      const RoundedRows rows = round_rows(weight, begin, end);
      for (size_t i = 0; i < rows.scales.size(); ++i)
        place_finite(rows.scales[i], begin + static_cast<int64_t>(i) / groups);
      const RowTableBytes part = row_table_of_codes(rows.codes, rows.zeros, rows.scales, end - begin, in);
      std::copy(part.codes.begin(), part.codes.end(), table.codes.begin() + begin * in / 2);
      std::copy(part.zeros.begin(), part.zeros.end(), table.zeros.begin() + begin * groups / 2);
      std::copy(part.scales.begin(), part.scales.end(), table.scales.begin() + begin * groups);
    });
    return table;
  }
  PARO_CHECK(bits == 8);
  table.codes.resize(static_cast<size_t>(table.rows * in));
  table.scales.resize(static_cast<size_t>(table.rows));
  pool.parallel_for(table.rows, kRangeRows, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(in));
    for (int64_t r = begin; r < end; ++r) {
      copy_as_f32(weight, r * in, in, row.data());
      for (const float value : row) place_finite(value, r);
      round_row8(row.data(), in, reinterpret_cast<int8_t*>(table.codes.data()) + r * in,
                 table.scales[static_cast<size_t>(r)]);
    }
  });
  return table;
}

RowTableBytes row_table_of_codes(const std::vector<uint8_t>& codes, const std::vector<uint8_t>& zeros,
                                 const std::vector<float>& scales, int64_t rows, int64_t in) {
  PARO_CHECK(std::ssize(codes) == rows * in && std::ssize(scales) == rows * in / kGroup && in % kRowTableInputs == 0);
  return {4, rows, in, pack_nibbles(codes), pack_nibbles(zeros), to_f16(scales)};
}

std::vector<float> RowTableBytes::dequantize() const {
  std::vector<float> wide(scales.size());
  std::transform(scales.begin(), scales.end(), wide.begin(), f16_to_f32);
  const auto view = [](const std::vector<uint8_t>& bytes) {
    return LoadedTensor{{DType::kU8, {std::ssize(bytes)}, reinterpret_cast<const std::byte*>(bytes.data())}, nullptr};
  };
  const auto shared = std::make_shared<const std::vector<float>>(std::move(wide));
  const RowTable table = {bits, rows, in, view(codes), view(zeros), {shared, shared->data()}};
  std::vector<float> values(static_cast<size_t>(rows * in));
  for (int64_t row = 0; row < rows; ++row) table.copy_row(row, values.data() + row * in);
  return values;
}

std::vector<TensorToWrite> row_table_tensors(const std::string& name, std::shared_ptr<const RowTableBytes> table) {
  const std::shared_ptr<const RowTableBytes> t = std::move(table);
  std::vector<TensorToWrite> tensors;
  const bool wide = t->bits == 8;
  const auto add = [&](const char* suffix, DType type, std::vector<int64_t> shape, const auto& values) {
    const void* data = values.data();
    const size_t size = values.size() * sizeof(values[0]);
    tensors.push_back({name + suffix, type, std::move(shape),
                       [t, data, size](const std::function<void(const void*, size_t)>& sink) { sink(data, size); }});
  };
  add(".qweight", wide ? DType::kI8 : DType::kU8, {t->rows, wide ? t->in : t->in / 2}, t->codes);
  if (!wide) add(".qzeros", DType::kU8, {t->rows, t->in / kRowTableInputs}, t->zeros);
  add(".scales", DType::kF16, wide ? std::vector<int64_t>{t->rows} : std::vector<int64_t>{t->rows, t->in / kGroup},
      t->scales);
  return tensors;
}

}  // namespace paro
