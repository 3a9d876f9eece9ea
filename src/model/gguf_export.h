// A checkpoint as a GGUF file: the inverse of gguf_checkpoint.h.
#pragma once

#include <filesystem>

#include "io/checkpoint.h"
#include "io/gguf_write.h"
#include "model/config.h"

namespace paro {

/// Writes `weights` (plain F16 under Hugging Face names) with the checkpoint's hyperparameters, tokenizer and chat
/// template: matrices as F16, vectors as F32, under the names and keys of llama.cpp's architectures llama (Llama and
/// Mistral), qwen2, qwen3 and smollm3. A tokenizer that the reader of GGUF files would cut some texts with otherwise is
/// told in a warning. Throws Error{kInput}: a family or a setting that the format has no key for.
void export_gguf(const Checkpoint& checkpoint, const ModelConfig& config, const WeightSource& weights,
                 const std::filesystem::path& path);

/// The parts of it. Metadata "general.*" and of the architecture.
GgufMetadata gguf_hyperparameters(const Checkpoint& checkpoint, const ModelConfig& config);
/// "tokenizer.*"; nothing when the checkpoint has no tokenizer. The list of tokens has vocab_size entries.
GgufMetadata gguf_vocabulary(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace paro
