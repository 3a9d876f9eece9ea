// Calibration text from files: read, tokenized whole, cut into windows, some of them drawn by seed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/tokenizer/tokenizer.h"

namespace paro::calib {

/// The text of a file: .jsonl (the "text" of each line, joined by blank lines) or plain UTF-8. Throws Error{kInput}
/// naming file and line for what is malformed or empty.
std::string read_calibration_text(const std::filesystem::path& file);

/// `samples` windows of `seq_len` ids, an equal share from each file as far as it has them, in an order drawn by
/// `seed`: [samples, seq_len]. Throws Error{kInput} when the files hold fewer windows together.
std::vector<int32_t> calibration_windows(const Tokenizer& tokenizer, const std::vector<std::filesystem::path>& files,
                                         int64_t samples, int64_t seq_len, uint64_t seed);

}  // namespace paro::calib
