// `paro export` into folders: a checkpoint written anew, without quantization or in the public ParoQuant format.
#pragma once

#include <filesystem>

#include "base/threads.h"
#include "io/checkpoint.h"
#include "model/config.h"

namespace paro::calib {

/// Every weight in 16 bits (kF16 or kBF16), quantized ones as W_effective computed in f64 and rounded once; tokenizer
/// files copied, config.json without its quantization_config, written last. Throws Error{kInput}: a folder that holds a
/// checkpoint already, values that do not fit.
void export_plain(const Checkpoint& source, const ModelConfig& config, DType type, const std::filesystem::path& output,
                  ThreadPool& pool);

/// The same codes, scales and rotations in the public format, whatever layout they were read from; everything else in
/// F16. Throws Error{kInput} likewise, and for a checkpoint that is not quantized, or in another format.
void export_repacked(const Checkpoint& source, const ModelConfig& config, const std::filesystem::path& output,
                     ThreadPool& pool);

}  // namespace paro::calib
