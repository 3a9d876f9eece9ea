// Writes a GGUF file (version 3). What names and keys mean is decided in model/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/safetensors.h"

namespace paro {

using GgufWriteValue = std::variant<uint32_t, float, bool, std::string, std::vector<int32_t>, std::vector<float>,
                                    std::vector<std::string>>;
using GgufMetadata = std::vector<std::pair<std::string, GgufWriteValue>>;

/// Atomically: keys and tensors in the order given, tensors aligned to 32 bytes. Shapes are row-major, as everywhere
/// here; types F32, F16 and BF16. Throws Error{kLimit} when the disk is full.
void write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                const std::vector<TensorToWrite>& tensors);

}  // namespace paro
