// The hyperparameters of a GGUF file in the keys of Hugging Face's config.json and generation_config.json.
#pragma once

#include <string>

#include "base/json.h"
#include "io/gguf.h"

namespace paro {

/// general.architecture; Error{kInput} when it is not one of the supported ones.
std::string gguf_architecture(const GgufFile& file);

struct GgufHeads {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  bool interleaved = false;  // rows of q and k, for rotary embeddings that turn neighbours
};
GgufHeads gguf_heads(const GgufFile& file);

/// config.json. Sizes are checked against each other; vocab_size and tying come from the tensors.
Json gguf_config(const GgufFile& file);
/// generation_config.json: bos and all tokens that end an answer.
Json gguf_generation_config(const GgufFile& file);

}  // namespace paro
