// The documents of a file for calibration: plain text, JSON lines or a list of JSON records, compressed or not; chat
// transcripts among the records become text through a template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"

namespace paro {

/// A conversation as text: `messages` is a list of {"role", "content"}, `tools` a list or null.
using RenderMessages = std::function<std::string(const Json& messages, const Json& tools)>;

/// A document is text as it is to be tokenized. Files named .jsonl, .ndjson or .json hold records, one in each line, or
/// (.json) a list of them; anything else is one document of plain text. Both may be compressed (io/decompress.h). Of a
/// record counts the first of
///   "messages"       [{"role", "content"}], rendered, with "tools" if the record has them
///   "conversations"  [{"from", "value"}] as ShareGPT writes them, with "system" if the record has one; rendered
///   "text"           a string
///   "content"        a string
/// Plain texts of records end in a blank line, so that documents stay apart. `render` may be empty.
/// Throws Error{kInput} naming file and line: malformed or empty, none of these fields, a conversation without
/// `render`, more than `max_bytes` of decompressed content; for Parquet says what to convert it with.
std::vector<std::string> read_documents(const std::filesystem::path& file, const RenderMessages& render,
                                        int64_t max_bytes = int64_t{4} << 30);

}  // namespace paro
