// The tensors of a GGUF file under Hugging Face names and in Hugging Face's row order.
#pragma once

#include <memory>

#include "io/gguf.h"

namespace paro {

/// A file of an architecture that gguf_config accepts.
std::unique_ptr<const WeightSource> gguf_weights(std::shared_ptr<const GgufFile> file);

}  // namespace paro
