// What GGUF and Hugging Face call the same things: families and tensors.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace paro {

struct GgufFamily {
  const char* architecture;  // GGUF's name
  const char* model_type;
  const char* class_name;
  bool interleaved;  // rows of q and k, for rotary embeddings that turn neighbours
};
std::span<const GgufFamily> gguf_families();

/// Frequency factors; in a config they are rope_scaling.
inline constexpr std::string_view kGgufRopeFactors = "rope_freqs.weight";

/// "blk.N.PART.weight" or ".bias" and the tensors around the layers; nullopt for a name with no meaning.
std::optional<std::string> hugging_face_name(std::string_view gguf);
/// The inverse.
std::optional<std::string> gguf_name(std::string_view hugging_face);

/// GGUF's llama keeps the two halves of each head of q and k interleaved (rows 0, half, 1, half + 1, ...), as its
/// rotary embedding turns neighbours: the row of Hugging Face that row `row` of the file holds.
int64_t row_of_interleaved(int64_t row, int64_t head_dim);

}  // namespace paro
