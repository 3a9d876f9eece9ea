// A GGUF file presented as a Hugging Face checkpoint: names, row order, config, tokenizer. The families: llama (which
// in GGUF includes Mistral and SmolLM), qwen2, qwen3, smollm3.
#pragma once

#include <filesystem>

#include "io/checkpoint.h"

namespace paro {

/// Weights of quantized types appear as F16 (rounded from their f32 values); everything else keeps its type. Throws
/// Error{kInput}: not GGUF, another family, tensors of no known meaning, a tokenizer of a kind that is not supported.
Checkpoint open_gguf_checkpoint(const std::filesystem::path& path, const CheckpointParts& parts = {});

}  // namespace paro
