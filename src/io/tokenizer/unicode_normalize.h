// NFC, NFD, NFKC and NFKD with utf8proc, touching only the parts of a text that can change.
#pragma once

#include <string>
#include <string_view>

namespace paro::tokenizer {

/// `options`: UTF8PROC_COMPOSE or UTF8PROC_DECOMPOSE, with UTF8PROC_COMPAT for the K forms. Characters newer than the
/// peer's data stay as they are (normalizes_to_itself()). `text` must be valid UTF-8.
std::string normalize_unicode(std::string_view text, int options);

}  // namespace paro::tokenizer
