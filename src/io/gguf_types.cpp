#include "io/gguf_types.h"

#include <fmt/format.h>

#include "io/gguf_dequantize.h"

namespace paro {
namespace {

constexpr GgufType kTypes[] = {
    {0, "F32", DType::kF32, 1, 4, nullptr},
    {1, "F16", DType::kF16, 1, 2, nullptr},
    {2, "Q4_0", DType::kF32, 32, 18, gguf::dequantize_q4_0},
    {3, "Q4_1", DType::kF32, 32, 20, gguf::dequantize_q4_1},
    {6, "Q5_0", DType::kF32, 32, 22, gguf::dequantize_q5_0},
    {7, "Q5_1", DType::kF32, 32, 24, gguf::dequantize_q5_1},
    {8, "Q8_0", DType::kF32, 32, 34, gguf::dequantize_q8_0},
    {10, "Q2_K", DType::kF32, 256, 84, gguf::dequantize_q2_k},
    {11, "Q3_K", DType::kF32, 256, 110, gguf::dequantize_q3_k},
    {12, "Q4_K", DType::kF32, 256, 144, gguf::dequantize_q4_k},
    {13, "Q5_K", DType::kF32, 256, 176, gguf::dequantize_q5_k},
    {14, "Q6_K", DType::kF32, 256, 210, gguf::dequantize_q6_k},
    {20, "IQ4_NL", DType::kF32, 32, 18, gguf::dequantize_iq4_nl},
    {23, "IQ4_XS", DType::kF32, 256, 136, gguf::dequantize_iq4_xs},
    {24, "I8", DType::kI8, 1, 1, nullptr},
    {25, "I16", DType::kI16, 1, 2, nullptr},
    {26, "I32", DType::kI32, 1, 4, nullptr},
    {27, "I64", DType::kI64, 1, 8, nullptr},
    {28, "F64", DType::kF64, 1, 8, nullptr},
    {30, "BF16", DType::kBF16, 1, 2, nullptr},
};

struct UnsupportedType {
  uint32_t id;
  const char* name;
};
constexpr UnsupportedType kUnsupported[] = {
    {4, "Q4_2"},    {5, "Q4_3"},     {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"},
    {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},
    {29, "IQ1_M"},  {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"}, {40, "NVFP4"},
};

}  // namespace

const GgufType* find_gguf_type(uint32_t id) {
  for (const GgufType& type : kTypes)
    if (type.id == id) return &type;
  return nullptr;
}

std::string gguf_type_text(uint32_t id) {
  if (const GgufType* type = find_gguf_type(id)) return type->name;
  for (const UnsupportedType& type : kUnsupported)
    if (type.id == id) return type.name;
  return fmt::format("number {}", id);
}

}  // namespace paro
