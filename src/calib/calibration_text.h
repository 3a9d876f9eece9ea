// Calibration text from files: read, tokenized, cut into windows, some of them drawn by seed in the given proportions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/chat_template/chat_template.h"
#include "io/hub.h"
#include "io/tokenizer/tokenizer.h"

namespace paro::calib {

struct CalibrationFile {
  // Both implicit: a path alone is a file of weight 1.
  CalibrationFile(std::filesystem::path file) : path(std::move(file)) {}
  CalibrationFile(std::filesystem::path file, double share) : path(std::move(file)), weight(share) {}

  std::filesystem::path path;
  double weight = 1.0;  // its share of the windows, relative to the other files' weights

  /// "FILE", or "FILE:WEIGHT" where there is no file of that whole name. Throws Error{kUsage}: a weight that is not a
  /// positive number.
  static CalibrationFile parse(const std::string& text);
  /// The file's name alone, with ":WEIGHT" unless it is 1.
  std::string label() const;
};

/// The name of the published recipe's mix; a file of this name is "./recipe".
inline constexpr const char* kRecipeMix = "recipe";

/// The files of the published recipe's calibration text, each with its share: WikiText-2 (train), C4 and RedPajama in
/// equal parts. Downloads those that are not in the hub cache. Throws what hub_dataset_files throws.
std::vector<CalibrationFile> recipe_mix(const HubOptions& hub);
/// `files` with "recipe" replaced by the mix's files, whose weights are multiplied by its own.
std::vector<CalibrationFile> resolve_mixes(const std::vector<CalibrationFile>& files, const HubOptions& hub);

struct CalibrationDraw {
  std::vector<int32_t> ids;  // [samples + held_out, seq_len]
  int64_t held_out = 0;      // windows at the end that nothing is fitted to
  Json files;                // of each: "file", "weight", "documents", "tokens" (read), "windows" (drawn)
};

struct CalibrationAmount {
  int64_t samples = 0;
  int64_t seq_len = 0;
  int64_t held_out = 0;  // wanted; fewer when the files hold no more windows
  int64_t added = 0;     // behind `samples`, for training: must be there, too
};

/// Windows in an order drawn by `seed`, from each file its share as far as it has them; what one lacks is spread over
/// the others. Documents are tokenized in an order drawn by `seed`, no more of them than the windows need.
/// `chat_template` may be null. Throws Error{kInput} when the files hold fewer windows together, and what
/// read_documents throws.
CalibrationDraw draw_calibration(const Tokenizer& tokenizer, const ChatTemplate* chat_template,
                                 const std::vector<CalibrationFile>& files, const CalibrationAmount& amount,
                                 uint64_t seed);

}  // namespace paro::calib
