// Tables [rows, in] of 8 or 4 bits that lie row by row: embeddings, whose rows are looked up, and output heads, in our
// extension of the ParoQuant format. With tied embeddings one serves both.
//   8 bits: X.qweight I8 [rows, in], X.scales F16 [rows]; value = q * s
//   4 bits: X.qweight U8 [rows, in/2], input 2i in the low and 2i + 1 in the high nibble of a byte; X.scales F16
//           [rows, in/32]; X.qzeros U8 [rows, in/64], group 2i low, 2i + 1 high; value = (q - z) * s
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "io/safetensors.h"
#include "io/weight_source.h"
#include "quant/cpu_linear.h"

namespace paro {

/// Inputs that a table of 4 bits must have a multiple of.
constexpr int64_t kRowTableInputs = 64;

struct RowTable {
  int64_t bits = 0;  // 8 or 4
  int64_t rows = 0;
  int64_t in = 0;
  LoadedTensor codes;
  LoadedTensor zeros;                     // of 4 bits
  std::shared_ptr<const float[]> scales;  // [rows] or [rows, in/32]

  int64_t row_bytes() const;
  /// One row's values, [in].
  void copy_row(int64_t row, float* out) const;
};

/// True where `name.qweight` is such a table's, and not a linear's words.
bool is_row_table(const WeightSource& source, const std::string& name);
/// Checked; Error{kInput} naming the tensor, the expected and the found. Codes stay mapped.
RowTable read_row_table(const WeightSource& source, const std::string& name, int64_t rows, int64_t in);
/// y = x W^T: 8 bits straight from the file's bytes, 4 bits packed for the int4 kernels.
std::unique_ptr<CpuLinear> load_row_table_linear(const WeightSource& source, const std::string& name, int64_t out,
                                                 int64_t in, const LoadHelp& help);

/// Bytes of a table to write, as in the file.
struct RowTableBytes {
  int64_t bits = 0;
  int64_t rows = 0;
  int64_t in = 0;
  std::vector<uint8_t> codes;
  std::vector<uint8_t> zeros;
  std::vector<uint16_t> scales;

  /// What it means, [rows, in].
  std::vector<float> dequantize() const;
};

/// weight [rows, in], F16, BF16 or F32, rounded to nearest: 8 bits over the largest value of each row, 4 bits over
/// ranges of least squared error (quant/paro4/rounded_rows.h), `in` then a multiple of kRowTableInputs. Error{kInput}
/// naming `place` for values that are not finite.
RowTableBytes round_row_table(const TensorView& weight, int64_t bits, ThreadPool& pool, const std::string& place);
/// 4-bit codes found otherwise: codes [rows, in], zeros and scales [rows, in/32].
RowTableBytes row_table_of_codes(const std::vector<uint8_t>& codes, const std::vector<uint8_t>& zeros,
                                 const std::vector<float>& scales, int64_t rows, int64_t in);
std::vector<TensorToWrite> row_table_tensors(const std::string& name, std::shared_ptr<const RowTableBytes> table);

}  // namespace paro
