// Standard input and output with errors that are noticed: results go to stdout through here, and nowhere else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"

namespace paro::cli {

/// The reader of stdout has gone (`paro ... | head`): main ends quietly.
struct StdoutClosed {};

/// Makes sure that descriptors 0 to 2 are taken, so that no model file ends up as "standard output" when the caller
/// closed it, and that a closed pipe is an error code and not a signal.
void guard_standard_streams();

/// Writes all of `text` at once. Throws StdoutClosed, Error{kLimit} when the disk behind stdout is full, Error{kInput}
/// when it cannot be written.
void write_stdout(std::string_view text);
/// The document, indented, with a line break.
void write_json(const Json& document);
/// "269.1 MB".
std::string size_text(int64_t bytes);
/// Everything on standard input. Throws Error{kInput} when it cannot be read or is larger than `max_bytes`.
std::string read_stdin(int64_t max_bytes = int64_t{1} << 30);

}  // namespace paro::cli
